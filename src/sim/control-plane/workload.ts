/** People at work: they create, change, roll back, scale, drain and delete, at random and without looking. */

import type { ApiClient, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { SeededRandom } from "../seeded-random.ts";
import { isAvailable } from "./shapes.ts";
import type { PodObject } from "./shapes.ts";
import type { SizeInvariants } from "./size-invariants.ts";
import type { Truth } from "./truth.ts";

const apps = (plural: string): ResourceName => ({ group: "apps", version: "v1", plural });
const batch = (plural: string): ResourceName => ({ group: "batch", version: "v1", plural });
const core = (plural: string): ResourceName => ({ group: "", version: "v1", plural });
const resources: Record<string, ResourceName> = {
  Deployment: apps("deployments"),
  ReplicaSet: apps("replicasets"),
  StatefulSet: apps("statefulsets"),
  DaemonSet: apps("daemonsets"),
  Job: batch("jobs"),
  CronJob: batch("cronjobs"),
};
const budgets: ResourceName = { group: "policy", version: "v1", plural: "poddisruptionbudgets" };

/** A cluster for tests has no room for more. */
const workloadsMost = 8;
const replicasMost = 5;

export interface WorkloadOptions {
  client: ApiClient;
  random: SeededRandom;
  truth: Truth;
  sizes: SizeInvariants;
  trace: (line: string) => void;
}

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #namespaces = ["work-0", "work-1"];
  #number = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const name of this.#namespaces) await this.#createNamespace(name);
    for (const kind of ["Deployment", "StatefulSet", "Job"]) await this.#create(kind);
  }

  /** One deed of somebody. What the API refuses is not tried again. */
  async act(): Promise<void> {
    const { random } = this.#options;
    const existing = this.#existing();
    const choice = random.integer(14);
    try {
      if (existing.length < 4 || (choice < 4 && existing.length < workloadsMost))
        await this.#create(random.pick([...Object.keys(resources), "Deployment", "Job"])!);
      else if (choice < 9) await this.#change(random.pick(existing)!);
      else if (choice < 12) await this.#evict();
      else if (choice === 12) await this.#delete(random.pick(existing)!);
      else await this.#replaceNamespace();
    } catch (error) {
      this.#options.trace(`refused: ${(error as Error).message}`);
    }
  }

  /** What would go on for ever comes to an end. */
  async finish(): Promise<void> {
    const { truth } = this.#options;
    for (const cron of truth.list("CronJob")) await this.#patch(cron, { spec: { suspend: true } });
    for (const job of truth.list("Job")) await this.#patch(job, { spec: { suspend: false } });
    for (const each of truth.list("Deployment")) await this.#patch(each, { spec: { paused: false } });
  }

  #existing(): KubeObject[] {
    const { truth } = this.#options;
    return Object.keys(resources)
      .flatMap((kind) => truth.list(kind))
      .filter(
        (each) =>
          each.metadata.ownerReferences === undefined && each.metadata.deletionTimestamp === undefined,
      );
  }

  async #createNamespace(name: string): Promise<void> {
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await this.#options.client.create(core("namespaces"), namespace);
  }

  async #replaceNamespace(): Promise<void> {
    const { client, random, trace } = this.#options;
    const index = random.integer(this.#namespaces.length);
    const old = this.#namespaces[index]!;
    const name = `work-${++this.#number + 1}`;
    trace(`person: delete namespace ${old}, create ${name}`);
    this.#namespaces[index] = name;
    await this.#createNamespace(name);
    await client.delete(core("namespaces"), undefined, old);
  }

  async #create(kind: string): Promise<void> {
    const { client, random, trace } = this.#options;
    const namespace = random.pick(this.#namespaces)!;
    const name = `${kind.toLowerCase()}-${++this.#number}`;
    const object: KubeObject = {
      apiVersion: kind.endsWith("Job") ? "batch/v1" : "apps/v1",
      kind,
      metadata: { name, namespace },
      spec: this.#spec(kind, name),
    };
    trace(`person: create ${kind} ${namespace}/${name} ${JSON.stringify(object["spec"])}`);
    await client.create(resources[kind]!, object);
    const replicas = (object["spec"] as { replicas?: number }).replicas ?? 0;
    if (replicas < 2 || !random.chance(0.6)) return;
    await client.create(budgets, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name, namespace },
      spec: { minAvailable: replicas - 1, selector: { matchLabels: { app: name } } },
    });
  }

  #spec(kind: string, name: string): object {
    const { random } = this.#options;
    const replicas = 1 + random.integer(replicasMost);
    const selector = { matchLabels: { app: name } };
    switch (kind) {
      case "Deployment":
        return { replicas, selector, strategy: this.#strategy(), template: template(name, "1") };
      case "ReplicaSet":
        return { replicas, selector, template: template(name, "1") };
      case "StatefulSet": {
        const podManagementPolicy = random.chance(0.7) ? "OrderedReady" : "Parallel";
        const retained = { whenDeleted: "Retain", whenScaled: "Retain" };
        return {
          replicas: Math.min(replicas, 3),
          selector,
          serviceName: name,
          podManagementPolicy,
          persistentVolumeClaimRetentionPolicy: retained,
          template: template(name, "1"),
        };
      }
      case "DaemonSet": {
        const rollingUpdate = random.chance(0.5) ? { maxSurge: 1, maxUnavailable: 0 } : { maxUnavailable: 1 };
        return {
          selector,
          updateStrategy: { type: "RollingUpdate", rollingUpdate },
          template: template(name, "1"),
        };
      }
      case "CronJob":
        return {
          schedule: "* * * * *",
          concurrencyPolicy: random.pick(["Allow", "Forbid", "Replace"]),
          successfulJobsHistoryLimit: 2,
          failedJobsHistoryLimit: 1,
          jobTemplate: { spec: this.#jobSpec(name) },
        };
      default:
        return this.#jobSpec(name);
    }
  }

  #strategy(): object {
    const { random } = this.#options;
    if (random.chance(0.15)) return { type: "Recreate" };
    const maxSurge = random.integer(3);
    return {
      type: "RollingUpdate",
      rollingUpdate: { maxSurge, maxUnavailable: maxSurge === 0 ? 1 : random.integer(2) },
    };
  }

  #jobSpec(name: string): object {
    const { random } = this.#options;
    const ends = template(name, "1");
    return {
      completions: 1 + random.integer(6),
      parallelism: 1 + random.integer(3),
      backoffLimit: 20,
      completionMode: random.chance(0.5) ? "Indexed" : "NonIndexed",
      template: {
        metadata: {
          ...ends.metadata,
          annotations: { "hollow.trivet.dev/run-seconds": String(1 + random.integer(8)) },
        },
        spec: { ...ends.spec, restartPolicy: "Never" },
      },
    };
  }

  async #change(object: KubeObject): Promise<void> {
    const { random, trace } = this.#options;
    const change = this.#changeOf(object, random);
    if (change === undefined) return;
    trace(
      `person: change ${object.kind} ${object.metadata.namespace}/${object.metadata.name} ${JSON.stringify(change)}`,
    );
    await this.#patch(object, { spec: change });
  }

  #changeOf({ kind, metadata }: KubeObject, random: SeededRandom): object | undefined {
    const update = { template: { metadata: { annotations: { version: String(1 + random.integer(3)) } } } };
    const name = metadata.name ?? "";
    switch (kind) {
      case "Deployment":
        if (random.chance(0.1)) return { paused: random.chance(0.5) };
        // An earlier version again is a rollback.
        return random.chance(0.6) ? update : { replicas: random.integer(replicasMost + 1) };
      case "ReplicaSet":
        return { replicas: random.integer(replicasMost + 1) };
      case "StatefulSet":
        return random.chance(0.5) ? update : { replicas: random.integer(4) };
      case "DaemonSet":
        return update;
      case "Job":
        return random.chance(0.5) ? { suspend: random.chance(0.5) } : { parallelism: 1 + random.integer(4) };
      default:
        return { suspend: random.chance(0.3), jobTemplate: { spec: { parallelism: 1 + (name.length % 3) } } };
    }
  }

  /** As a drain does. */
  async #evict(): Promise<void> {
    const { client, random, truth, sizes, trace } = this.#options;
    const pod = random.pick(truth.list<PodObject>("Pod").filter(isAvailable));
    if (pod === undefined) return;
    const { namespace, name = "", uid } = pod.metadata;
    trace(`person: evict ${namespace}/${name}`);
    sizes.evicting = uid;
    try {
      await client.post(core("pods"), namespace, name, "eviction", {
        apiVersion: "policy/v1",
        kind: "Eviction",
        metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
      });
    } finally {
      sizes.evicting = undefined;
    }
  }

  async #delete(object: KubeObject): Promise<void> {
    const { client, random, trace } = this.#options;
    const { namespace, name = "" } = object.metadata;
    const propagationPolicy = random.pick(["Background", "Foreground", "Background"] as const)!;
    trace(`person: delete ${object.kind} ${namespace}/${name} (${propagationPolicy})`);
    await client.delete(resources[object.kind ?? ""]!, namespace, name, { propagationPolicy });
    if (random.chance(0.5)) await client.delete(budgets, namespace, name).catch(() => undefined);
  }

  async #patch(object: KubeObject, change: object): Promise<void> {
    const { namespace, name = "" } = object.metadata;
    await this.#options.client
      .patch(resources[object.kind ?? ""]!, namespace, name, "merge", change)
      .catch((error: unknown) => this.#options.trace(`refused: ${(error as Error).message}`));
  }
}

function template(name: string, version: string): { metadata: object; spec: object } {
  return {
    metadata: { labels: { app: name }, annotations: { version } },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [{ name: "main", image: "hollow", resources: { requests: { cpu: "150m" } } }],
    },
  };
}
