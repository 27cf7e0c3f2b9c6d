/** Never more than was asked for, and never fewer available than an update may cost, by the control loops' own doing. */

import { Violation } from "../violation.ts";
import { Recent, RecentCount } from "./recent.ts";
import { controllerOf, isActive, isAvailable, labelled, nameOf } from "./shapes.ts";
import type { JobObject, PodObject, Scaled } from "./shapes.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { Change, Truth } from "./truth.ts";

export class SizeInvariants {
  readonly #truth: Truth;
  /** By uid and quantity. */
  readonly #recent: Recent;
  /** Pods whose creation succeeded without its maker knowing, by owner. */
  readonly lostCreations: RecentCount;
  /** Pods that became unavailable by themselves or with their nodes, by namespace and "app" label. */
  readonly #losses: RecentCount;
  /** The pod that a person's eviction is being carried out for. */
  evicting: string | undefined;

  constructor(clock: SimulatedClock, truth: Truth) {
    this.#truth = truth;
    this.#recent = new Recent(clock);
    this.lostCreations = new RecentCount(clock);
    this.#losses = new RecentCount(clock);
    truth.onChange((change) => this.#onChange(change));
  }

  #onChange(change: Change): void {
    const { kind, object } = change;
    if (kind === "Deployment" && object !== undefined) this.#noteDeployment(object as Scaled);
    else if (kind === "ReplicaSet") this.#onReplicaSet(change);
    else if (kind === "StatefulSet" && object !== undefined) {
      this.#recent.set(`${object.metadata.uid} replicas`, (object as Scaled).spec.replicas ?? 1);
    } else if (kind === "Job" && object !== undefined) {
      this.#recent.set(`${object.metadata.uid} replicas`, (object as JobObject).spec.parallelism ?? 1);
    } else if (kind === "Pod") this.#onPod(change);
  }

  #noteDeployment(deployment: Scaled): void {
    const { replicas = 1, strategy } = deployment.spec;
    const rolling = strategy?.type === "Recreate" ? undefined : strategy?.rollingUpdate;
    const { uid } = deployment.metadata;
    this.#recent.set(`${uid} most`, replicas + (rolling?.maxSurge ?? 0));
    const fewest = rolling === undefined ? 0 : replicas - (rolling.maxUnavailable ?? 0);
    this.#recent.set(`${uid} fewest`, fewest);
  }

  #onReplicaSet({ object, old, fenced }: Change): void {
    if (object === undefined) return;
    const { replicas = 1 } = (object as Scaled).spec;
    this.#recent.set(`${object.metadata.uid} replicas`, replicas);
    const owner = controllerOf(object);
    if (owner === undefined || !fenced || replicas <= ((old as Scaled | undefined)?.spec.replicas ?? 0))
      return;
    const most = this.#recent.largest(`${owner.uid} most`);
    if (most === undefined) return;
    const sets = this.#truth
      .list<Scaled>("ReplicaSet")
      .filter((each) => controllerOf(each)?.uid === owner.uid);
    const total = sets.reduce((sum, each) => sum + (each.spec.replicas ?? 1), 0);
    if (total > most)
      throw new Violation(`Deployment ${owner.name} asks for ${total} pods in all, its surge allows ${most}`);
  }

  #onPod({ object, old, fenced }: Change): void {
    const pod = object as PodObject | undefined;
    const before = old as PodObject | undefined;
    if (before === undefined && pod !== undefined && fenced) this.#onCreated(pod);
    if (before === undefined || !isAvailable(before) || isAvailable(pod)) {
      this.#noteAvailability(pod ?? before!);
      return;
    }
    const wasDeleted = pod === undefined || pod.metadata.deletionTimestamp !== undefined;
    const evicted = wasDeleted && this.evicting === before.metadata.uid;
    if (wasDeleted && fenced && !this.#isDisturbed(before)) this.#onScaledDown(before);
    if (evicted) this.#onEvicted(before);
    else this.#losses.add(groupOf(before));
    if (!wasDeleted || (!fenced && !evicted) || this.#isDisturbed(before))
      this.#losses.add(`${groupOf(before)} alone`);
    this.#noteAvailability(before);
  }

  #onCreated(pod: PodObject): void {
    const owner = controllerOf(pod);
    if (owner === undefined || !["ReplicaSet", "Job"].includes(owner.kind)) return;
    const limit = this.#recent.largest(`${owner.uid} replicas`);
    if (limit === undefined) return;
    const active = this.#truth
      .list<PodObject>("Pod")
      .filter((each) => controllerOf(each)?.uid === owner.uid && isActive(each)).length;
    const allowed = limit + this.lostCreations.of(owner.uid);
    if (active > allowed)
      throw new Violation(`${owner.kind} ${owner.name} has ${active} pods, ${allowed} were asked for`);
  }

  /** A control loop takes an available pod of a Deployment away. */
  #onScaledDown(pod: PodObject): void {
    const set = this.#setOf(pod);
    const owner = controllerOf(set);
    if (set === undefined || owner === undefined) return;
    const deployment = this.#truth.get("Deployment", set.metadata.namespace, owner.name);
    if (deployment?.metadata.uid !== owner.uid || deployment.metadata.deletionTimestamp !== undefined) return;
    const fewest = this.#recent.smallest(`${owner.uid} fewest`) ?? 0;
    const lately = this.#recent.smallest(`${groupOf(pod)} available`) ?? 0;
    const available = this.#available(pod);
    // What the loop did not do itself it may not have known yet.
    if (available >= fewest || lately < fewest || this.#losses.of(`${groupOf(pod)} alone`) > 0) return;
    throw new Violation(
      `${nameOf(deployment)} has ${available} pods available after a deletion, not ${fewest}`,
    );
  }

  #onEvicted(pod: PodObject): void {
    for (const budget of this.#truth.list("PodDisruptionBudget")) {
      if (budget.metadata.namespace !== pod.metadata.namespace) continue;
      const spec = budget["spec"] as {
        minAvailable?: number;
        selector: { matchLabels: Record<string, string> };
      };
      if (spec.minAvailable === undefined || !labelled(pod, spec.selector.matchLabels)) continue;
      const available = this.#available(pod);
      if (available >= spec.minAvailable || this.#losses.of(groupOf(pod)) > 0) continue;
      throw new Violation(
        `${nameOf(budget)}: an eviction leaves ${available} of at least ${spec.minAvailable} pods`,
      );
    }
  }

  #noteAvailability(pod: PodObject): void {
    this.#recent.set(`${groupOf(pod)} available`, this.#available(pod));
  }

  #available(like: PodObject): number {
    const group = groupOf(like);
    return this.#truth.list<PodObject>("Pod").filter((each) => groupOf(each) === group && isAvailable(each))
      .length;
  }

  #setOf(pod: PodObject): Scaled | undefined {
    const owner = controllerOf(pod);
    if (owner?.kind !== "ReplicaSet") return undefined;
    const set = this.#truth.get("ReplicaSet", pod.metadata.namespace, owner.name) as Scaled | undefined;
    return set?.metadata.uid === owner.uid ? set : undefined;
  }

  /** Its node is lost, its namespace or its owner is going: not for the sake of an update. */
  #isDisturbed(pod: PodObject): boolean {
    const node = this.#truth.get("Node", undefined, pod.spec.nodeName ?? "");
    const taints = (node?.["spec"] as { taints?: object[] } | undefined)?.taints ?? [];
    const namespace = this.#truth.get("Namespace", undefined, pod.metadata.namespace ?? "");
    const owner = controllerOf(pod);
    const owned =
      owner === undefined ? undefined : this.#truth.get(owner.kind, pod.metadata.namespace, owner.name);
    const isOwned = owned?.metadata.uid === owner?.uid && owned?.metadata.deletionTimestamp === undefined;
    return taints.length > 0 || namespace?.metadata.deletionTimestamp !== undefined || !isOwned;
  }
}

function groupOf(pod: PodObject): string {
  return `${pod.metadata.namespace} ${pod.metadata.labels?.["app"] ?? ""}`;
}
