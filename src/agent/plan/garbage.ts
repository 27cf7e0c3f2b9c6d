/**
 * Which dead containers and sandboxes of a living pod may go: of each container the newest instance and
 * one dead one before it stay (its logs are what `logs --previous` shows).
 */
import type { ContainerView, PodView } from "./runtime-view.ts";

export function garbage(view: PodView): { containers: ContainerView[]; sandboxes: string[] } {
  const seen = new Map<string, number>();
  const containers: ContainerView[] = [];
  for (const container of view.containers) {
    const count = seen.get(container.name) ?? 0;
    seen.set(container.name, count + 1);
    if (count >= 2 && container.phase === "exited") containers.push(container);
  }
  const kept = new Set(
    view.containers.filter((each) => !containers.includes(each)).map((each) => each.sandboxId),
  );
  const sandboxes = view.sandboxes.slice(1).filter((each) => !each.ready && !kept.has(each.id));
  return { containers, sandboxes: sandboxes.map((each) => each.id) };
}
