/** The API server's own numbers for `/metrics`, under upstream's names where they mean the same. */
import type { Family } from "#base/exposition.ts";
import { versionInfo } from "../discovery/pages.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { RequestMeter } from "./request-meter.ts";
import { processFamilies } from "./process.ts";

export interface ServerNumbers {
  meter: RequestMeter;
  registry: ResourceRegistry;
  /** Requests that are being served. */
  inFlight: { reading: number; writing: number };
  /** Revision up to which the caches have seen everything. */
  revision: number;
}

export function serverFamilies({ meter, registry, inFlight, revision }: ServerNumbers): Family[] {
  return [
    ...meter.families(),
    {
      name: "apiserver_current_inflight_requests",
      help: "Requests that are being served, without streams.",
      type: "gauge",
      samples: [
        { labels: { request_kind: "mutating" }, value: inFlight.writing },
        { labels: { request_kind: "readOnly" }, value: inFlight.reading },
      ],
    },
    {
      name: "apiserver_storage_objects",
      help: "Stored objects of each resource.",
      type: "gauge",
      samples: storedObjects(registry),
    },
    {
      name: "apiserver_watch_cache_revision",
      help: "Revision up to which the caches have seen everything.",
      type: "gauge",
      samples: [{ value: revision }],
    },
    {
      name: "kubernetes_build_info",
      help: "The version, as /version tells it.",
      type: "gauge",
      samples: [{ labels: buildLabels(), value: 1 }],
    },
    ...processFamilies(),
  ];
}

function buildLabels(): Record<string, string> {
  const { major, minor, gitVersion, gitCommit, gitTreeState, buildDate, goVersion, compiler, platform } =
    versionInfo;
  return {
    build_date: buildDate,
    compiler,
    git_commit: gitCommit,
    git_tree_state: gitTreeState,
    git_version: gitVersion,
    go_version: goVersion,
    major,
    minor,
    platform,
  };
}

/** Each resource once: versions of one kind share what is stored. */
function storedObjects(registry: ResourceRegistry): Family["samples"] {
  const counts = new Map<string, number>();
  for (const { stored, groupResource: of } of registry.all())
    if (stored !== undefined)
      counts.set(of.group === "" ? of.resource : `${of.resource}.${of.group}`, stored.cache.size);
  return [...counts].map(([resource, value]) => ({ labels: { resource }, value }));
}
