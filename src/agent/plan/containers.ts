/** The containers of a pod by their sorts: init, sidecar (an init container that keeps running), app, ephemeral. */
import type { AnyContainer, Container, PodSpec } from "../types.ts";

export type ContainerSort = "init" | "sidecar" | "app" | "ephemeral";

export interface SortedContainer {
  container: AnyContainer;
  sort: ContainerSort;
}

export function isSidecar(container: { restartPolicy?: string }): boolean {
  return container.restartPolicy === "Always";
}

export function findContainer(spec: PodSpec, name: string): SortedContainer | undefined {
  return allContainers(spec).find((each) => each.container.name === name);
}

/** Init containers first, then apps, then ephemeral ones. */
export function allContainers(spec: PodSpec): SortedContainer[] {
  return [
    ...(spec.initContainers ?? []).map((container: Container): SortedContainer => ({
      container,
      sort: isSidecar(container) ? "sidecar" : "init",
    })),
    ...spec.containers.map((container): SortedContainer => ({ container, sort: "app" })),
    ...(spec.ephemeralContainers ?? []).map((container): SortedContainer => ({
      container,
      sort: "ephemeral",
    })),
  ];
}

/** How events point at a container: "spec.containers{web}". */
export function containerFieldPath(sorted: SortedContainer): string {
  const list = {
    init: "initContainers",
    sidecar: "initContainers",
    app: "containers",
    ephemeral: "ephemeralContainers",
  };
  return `spec.${list[sorted.sort]}{${sorted.container.name}}`;
}
