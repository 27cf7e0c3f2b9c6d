/**
 * Counts what the server answers, under the names and labels of upstream's API server. Labels come from the
 * request's path only where the resource exists, so that nobody can make the server remember made-up paths.
 * Durations are those of requests that end by themselves: watches and other streams only count as running.
 */
import { type Family, Histogram, type Sample } from "#base/exposition.ts";
import type { RequestInfo } from "../request-info.ts";
import type { Resource } from "../registry.ts";

/** Upper bounds in seconds. */
const durationBounds = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

export interface MeteredRequest {
  /** Of a resource that exists; its resource is empty otherwise. */
  info: RequestInfo;
  isApply: boolean;
  dryRun: boolean;
}

interface Measured {
  labels: Record<string, string>;
  byCode: Map<number, number>;
  durations: Histogram;
  running: number;
}

export class RequestMeter {
  readonly #measured = new Map<string, Measured>();
  readonly #watchEvents = new Map<Resource, number>();

  /** One answer, `seconds` after the request came in; undefined for one that goes on as a stream. */
  answered(request: MeteredRequest, code: number, seconds?: number): void {
    const measured = this.#of(request);
    measured.byCode.set(code, (measured.byCode.get(code) ?? 0) + 1);
    if (seconds !== undefined) measured.durations.observe(seconds);
  }

  /** A stream begins. Call what it returns when the stream is over. */
  streams(request: MeteredRequest): () => void {
    const measured = this.#of(request);
    measured.running += 1;
    return () => {
      measured.running -= 1;
    };
  }

  watchEvent(resource: Resource): void {
    this.#watchEvents.set(resource, (this.#watchEvents.get(resource) ?? 0) + 1);
  }

  families(): Family[] {
    const all = [...this.#measured.values()];
    return [
      {
        name: "apiserver_request_total",
        help: "Requests answered, by verb, resource and status code.",
        type: "counter",
        samples: all.flatMap(({ labels, byCode }) =>
          [...byCode].map(([code, value]) => ({ labels: { code: String(code), ...labels }, value })),
        ),
      },
      {
        name: "apiserver_request_duration_seconds",
        help: "Time from a request to its answer, without streams.",
        type: "histogram",
        samples: all.flatMap(({ labels, durations }) => durations.samples(labels)),
      },
      {
        name: "apiserver_longrunning_requests",
        help: "Streams that are open.",
        type: "gauge",
        samples: all.flatMap(({ labels, running }): Sample[] => {
          const { dry_run: _, ...rest } = labels;
          return running === 0 ? [] : [{ labels: rest, value: running }];
        }),
      },
      {
        name: "apiserver_watch_events_total",
        help: "Events sent to watchers.",
        type: "counter",
        samples: [...this.#watchEvents].map(([{ kind }, value]) => ({
          labels: { group: kind.group, kind: kind.kind, version: kind.version },
          value,
        })),
      },
    ];
  }

  #of({ info, isApply, dryRun }: MeteredRequest): Measured {
    const verb = isApply ? "APPLY" : (verbs[info.verb] ?? "OTHER");
    const scope = scopeOf(info);
    const { group, version, resource, subresource } = info;
    const key = `${verb} ${group}/${version}/${resource}/${subresource} ${scope} ${dryRun ? 1 : 0}`;
    let measured = this.#measured.get(key);
    if (measured === undefined) {
      measured = {
        labels: {
          component: "apiserver",
          dry_run: dryRun ? "All" : "",
          group,
          resource,
          scope,
          subresource,
          verb,
          version,
        },
        byCode: new Map(),
        durations: new Histogram(durationBounds),
        running: 0,
      };
      this.#measured.set(key, measured);
    }
    return measured;
  }
}

const verbs: Readonly<Record<string, string>> = {
  create: "POST",
  delete: "DELETE",
  deletecollection: "DELETECOLLECTION",
  get: "GET",
  head: "GET",
  list: "LIST",
  patch: "PATCH",
  post: "POST",
  put: "PUT",
  update: "PUT",
  watch: "WATCH",
};

function scopeOf({ isResource, name, verb, namespace }: RequestInfo): string {
  if (name !== "" || verb === "create") return "resource";
  if (namespace !== "") return "namespace";
  return isResource ? "cluster" : "";
}
