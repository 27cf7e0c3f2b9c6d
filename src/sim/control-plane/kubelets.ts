/**
 * The nodes: each renews its lease and starts, ends and crashes the pods that it was given, with the hollow
 * nodes' idea of how a pod goes. A silent node goes on running what it runs, and says nothing.
 */

import type { HttpHandler } from "#base/http.ts";
import type { Timer } from "#base/ports.ts";
import type { ApiClient } from "#client/types.ts";
import { createClient } from "#client/client.ts";
import { around, finishedStatus, hostIp, nextStep, nodeObject, runningStatus } from "#lab/hollow/plan.ts";
import type { HollowPod } from "#lab/hollow/plan.ts";
import type { SeededRandom } from "../seeded-random.ts";
import { Violation } from "../violation.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { Truth } from "./truth.ts";

const nodes = { group: "", version: "v1", plural: "nodes" };
const pods = { group: "", version: "v1", plural: "pods" };
const leases = { group: "coordination.k8s.io", version: "v1", plural: "leases" };
const renewMs = 10_000;
const delays = { startMs: 1500, stopMs: 1000 };

interface Kubelet {
  name: string;
  index: number;
  silent: boolean;
  /** What really runs there: "namespace/name" by uid. */
  running: Map<string, string>;
}

export interface KubeletOptions {
  api: HttpHandler;
  clock: SimulatedClock;
  random: SeededRandom;
  truth: Truth;
  count: number;
  trace: (line: string) => void;
}

export class Kubelets {
  readonly #options: KubeletOptions;
  readonly #client: ApiClient;
  readonly #kubelets = new Map<string, Kubelet>();
  readonly #steps = new Map<string, { step: string; timer: Timer }>();
  /** Pods whose containers are about to be started again. */
  readonly #crashed = new Set<string>();
  #addresses = 0;

  constructor(options: KubeletOptions) {
    this.#options = options;
    const { api, clock, truth } = options;
    this.#client = createClient({
      transport: async (request) => {
        await clock.sleep(1);
        return await api(request);
      },
      userAgent: "kubelet",
      user: { name: "system:admin", groups: ["system:masters"] },
      clock,
    });
    truth.onChange(({ kind, object, old }) => {
      if (kind === "Pod") this.#onPod(object as HollowPod | undefined, (object ?? old) as HollowPod);
    });
  }

  get all(): Kubelet[] {
    return [...this.#kubelets.values()];
  }

  async start(): Promise<void> {
    const { clock, random, count } = this.#options;
    for (let index = 0; index < count; index++) {
      const kubelet = { name: `node-${index}`, index, silent: false, running: new Map() };
      this.#kubelets.set(kubelet.name, kubelet);
      const object = nodeObject(kubelet, clock.nowMs());
      const status = object["status"] as { capacity: object; allocatable: object };
      status.capacity = status.allocatable = {
        cpu: "2",
        memory: "8Gi",
        "ephemeral-storage": "64Gi",
        pods: "16",
      };
      await this.#client.create(nodes, object);
      await this.#renew(kubelet);
      clock.setTimer(random.integer(renewMs), () => this.#keepRenewing(kubelet));
    }
  }

  silence(name: string): void {
    this.#kubelets.get(name)!.silent = true;
  }

  /** The node says again how it is and does what it has missed. */
  revive(name: string): void {
    const kubelet = this.#kubelets.get(name)!;
    if (!kubelet.silent) return;
    kubelet.silent = false;
    void this.#report(kubelet);
    const here = this.#options.truth.list<HollowPod>("Pod").filter((pod) => pod.spec?.nodeName === name);
    const uids = new Set(here.map((pod) => pod.metadata.uid ?? ""));
    for (const uid of kubelet.running.keys()) if (!uids.has(uid)) kubelet.running.delete(uid);
    for (const pod of here) {
      this.#plan(pod);
      if (this.#isReady(pod) || !kubelet.running.has(pod.metadata.uid ?? "")) continue;
      void this.#write(pod, () => this.#runningStatus(kubelet, pod));
    }
  }

  /** The containers of a running pod end with an error; those that may are started again. */
  crash(pod: HollowPod): void {
    const kubelet = this.#kubelets.get(pod.spec?.nodeName ?? "");
    if (kubelet === undefined || kubelet.silent || pod.status?.phase !== "Running") return;
    const restarts = pod.spec?.restartPolicy === undefined || pod.spec.restartPolicy === "Always";
    const { clock, random } = this.#options;
    this.#options.trace(`crash ${podKey(pod)}`);
    if (!restarts) {
      kubelet.running.delete(pod.metadata.uid ?? "");
      void this.#write(pod, () => finishedStatus(pod, 1, clock.nowMs()));
      return;
    }
    const { uid = "" } = pod.metadata;
    this.#crashed.add(uid);
    void this.#write(pod, () => notReady(this.#runningStatus(kubelet, pod)));
    clock.setTimer(random.between(500, 5000), () => {
      this.#crashed.delete(uid);
      if (!kubelet.silent) void this.#write(pod, () => this.#runningStatus(kubelet, pod));
    });
  }

  #keepRenewing(kubelet: Kubelet): void {
    if (!kubelet.silent) void this.#renew(kubelet).catch((error: unknown) => this.#told("a lease", error));
    this.#options.clock.setTimer(renewMs, () => this.#keepRenewing(kubelet));
  }

  async #renew({ name }: Kubelet): Promise<void> {
    const { clock, truth } = this.#options;
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: 40,
      renewTime: new Date(clock.nowMs()).toISOString().replace("Z", "000Z"),
    };
    const known = truth.get("Lease", "kube-node-lease", name);
    if (known !== undefined) await this.#client.patch(leases, "kube-node-lease", name, "merge", { spec });
    else {
      const metadata = { name, namespace: "kube-node-lease" };
      await this.#client.create(leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata,
        spec,
      });
    }
    this.#correct(this.#kubelets.get(name)!);
    const node = truth.get("Node", undefined, name);
    const status = node?.["status"] as { conditions?: { type: string; status: string }[] } | undefined;
    if (status?.conditions?.some((each) => each.type === "Ready" && each.status !== "True") === true)
      await this.#report(this.#kubelets.get(name)!);
  }

  /** Whoever said that a pod is not ready, while the node was silent, did not know. */
  #correct(kubelet: Kubelet): void {
    for (const pod of this.#options.truth.list<HollowPod>("Pod")) {
      const { uid = "" } = pod.metadata;
      if (!kubelet.running.has(uid) || this.#crashed.has(uid)) continue;
      if (pod.status?.phase !== "Running" || this.#isReady(pod)) continue;
      void this.#write(pod, () => this.#runningStatus(kubelet, pod));
    }
  }

  async #report(kubelet: Kubelet): Promise<void> {
    const { conditions } = nodeObject(kubelet, this.#options.clock.nowMs())["status"] as {
      conditions: object[];
    };
    await this.#client
      .patch(
        nodes,
        undefined,
        kubelet.name,
        "strategic",
        { status: { conditions } },
        { subresource: "status" },
      )
      .catch(() => undefined);
  }

  #onPod(pod: HollowPod | undefined, any: HollowPod): void {
    const uid = any.metadata.uid ?? "";
    if (pod !== undefined) {
      this.#plan(pod);
      return;
    }
    this.#steps.get(uid)?.timer.cancel();
    this.#steps.delete(uid);
    const kubelet = this.#kubelets.get(any.spec?.nodeName ?? "");
    // Somebody removed it without asking: what runs is stopped as soon as the node hears of it.
    if (kubelet !== undefined && !kubelet.silent) kubelet.running.delete(uid);
  }

  #plan(pod: HollowPod): void {
    const { clock, random } = this.#options;
    const uid = pod.metadata.uid ?? "";
    const kubelet = this.#kubelets.get(pod.spec?.nodeName ?? "");
    if (kubelet === undefined || kubelet.silent) return;
    const step = nextStep(pod, delays);
    const known = this.#steps.get(uid);
    if (known?.step === step?.type) return;
    known?.timer.cancel();
    this.#steps.delete(uid);
    if (step === undefined) return;
    const timer = clock.setTimer(around(step.afterMs, random), () => {
      this.#steps.delete(uid);
      if (!kubelet.silent) this.#carryOut(kubelet, uid, podKey(pod), step);
    });
    this.#steps.set(uid, { step: step.type, timer });
  }

  #carryOut(
    kubelet: Kubelet,
    uid: string,
    key: string,
    step: NonNullable<ReturnType<typeof nextStep>>,
  ): void {
    const { clock, truth } = this.#options;
    const [namespace, name] = key.split("/") as [string, string];
    const pod = truth.get("Pod", namespace, name) as HollowPod | undefined;
    if (pod?.metadata.uid !== uid) return;
    if (step.type === "start") {
      this.#startRunning(kubelet, pod);
      void this.#write(pod, () => this.#runningStatus(kubelet, pod));
      return;
    }
    kubelet.running.delete(uid);
    if (step.type === "finish") {
      void this.#write(pod, () => finishedStatus(pod, step.exitCode, clock.nowMs()));
      return;
    }
    this.#client
      .delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } })
      .catch(() => undefined);
  }

  /** An identity of a StatefulSet is one process in the whole cluster, whatever happens to nodes. */
  #startRunning(kubelet: Kubelet, pod: HollowPod): void {
    const key = podKey(pod);
    const isStateful = pod.metadata.ownerReferences?.some((each) => each.kind === "StatefulSet") === true;
    for (const other of this.#kubelets.values()) {
      for (const [uid, runs] of other.running) {
        if (!isStateful || runs !== key || uid === pod.metadata.uid) continue;
        this.#options.truth.failure ??= new Violation(
          `${key} starts on ${kubelet.name} while another one of that name still runs on ${other.name}`,
        );
      }
    }
    kubelet.running.set(pod.metadata.uid ?? "", key);
  }

  #runningStatus(kubelet: Kubelet, pod: HollowPod): object {
    const number = this.#addresses++ % 60_000;
    const podIp = pod.status?.podIP ?? `10.42.${number >> 8}.${number & 255}`;
    return runningStatus(pod, podIp, hostIp(kubelet.index), this.#options.clock.nowMs());
  }

  async #write(pod: HollowPod, status: () => object): Promise<void> {
    const { namespace, name = "", uid } = pod.metadata;
    await this.#client
      .patch(
        pods,
        namespace,
        name,
        "strategic",
        { metadata: { uid }, status: status() },
        { subresource: "status" },
      )
      .catch((error: unknown) => this.#told("a pod's status", error));
  }

  #told(what: string, error: unknown): void {
    this.#options.trace(`${what} could not be written: ${(error as Error).message}`);
  }

  #isReady(pod: HollowPod): boolean {
    const conditions = (pod.status as { conditions?: { type: string; status: string }[] } | undefined)
      ?.conditions;
    return conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;
  }
}

function podKey(pod: HollowPod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

function notReady(status: object): object {
  const { conditions } = status as { conditions: { type: string; status: string }[] };
  const lost = new Set(["Ready", "ContainersReady"]);
  return {
    ...status,
    conditions: conditions.map((each) => (lost.has(each.type) ? { ...each, status: "False" } : each)),
  };
}
