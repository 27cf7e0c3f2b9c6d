/** Small pods and runtime views for tests of the decisions. */
import type { Container, Pod, PodSpec } from "../types.ts";
import { containerHash } from "./container-hash.ts";
import type { ContainerView, PodView, SandboxView } from "./runtime-view.ts";

export function podOf(spec: Partial<PodSpec>, metadata: Partial<Pod["metadata"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", uid: "u-1", ...metadata },
    spec: { restartPolicy: "Always", containers: [container("main")], ...spec },
  };
}

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "trivet.local/demo:1", ...more };
}

export function sandbox(more: Partial<SandboxView> = {}): SandboxView {
  return { id: "s-0", attempt: 0, ready: true, createdAtMs: 1_000, ips: ["10.42.0.5"], ...more };
}

export function instance(name: string, more: Partial<ContainerView> = {}): ContainerView {
  return {
    id: `${name}-0`,
    name,
    sandboxId: "s-0",
    restartCount: 0,
    phase: "running",
    createdAtMs: 2_000,
    startedAtMs: 2_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "trivet.local/demo:1",
    imageId: "sha256:1",
    hash: containerHash(container(name)),
    ...more,
  };
}

export function exited(name: string, exitCode: number, more: Partial<ContainerView> = {}): ContainerView {
  return instance(name, { phase: "exited", exitCode, finishedAtMs: 10_000, ...more });
}

export function viewOf(containers: ContainerView[], sandboxes: SandboxView[] = [sandbox()]): PodView {
  return { sandboxes, containers };
}
