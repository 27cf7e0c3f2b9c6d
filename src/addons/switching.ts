/** Which add-ons are enabled after a wish: pure, with the errors that a user reads. */
import { StatusError } from "#base/errors.ts";
import type { Addon } from "./addon.ts";

export interface Switches {
  enable: readonly string[];
  disable: readonly string[];
}

/**
 * The enabled set after the switches. Enabling brings what is required; disabling what another enabled
 * add-on requires is a Conflict. Names in `enabled` that the catalogue lacks (a newer version's) are kept.
 */
export function switched(
  catalogue: readonly Addon[],
  enabled: ReadonlySet<string>,
  switches: Switches,
): Set<string> {
  refuseUnknown(catalogue, [...switches.enable, ...switches.disable]);
  const result = new Set(enabled);
  for (const name of switches.disable) result.delete(name);
  for (const name of withRequired(catalogue, switches.enable)) result.add(name);
  for (const { name, requires } of catalogue) {
    const missing = requires.find((each) => !result.has(each));
    if (result.has(name) && missing !== undefined)
      throw new StatusError("Conflict", `add-on "${name}" needs "${missing}": disable "${name}" as well`);
  }
  return result;
}

function refuseUnknown(catalogue: readonly Addon[], names: readonly string[]): void {
  const known = catalogue.map((each) => each.name);
  const unknown = names.filter((each) => !known.includes(each));
  if (unknown.length === 0) return;
  const wrong = unknown.map((each) => `"${each}"`).join(", ");
  const list = known.length === 0 ? "none" : known.join(", ");
  throw new StatusError("NotFound", `there is no add-on ${wrong}: the add-ons of this version are ${list}`);
}

/** The names and all that they require, each once, requirements first. */
function withRequired(catalogue: readonly Addon[], names: readonly string[]): Set<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    for (const each of catalogue.find((addon) => addon.name === name)?.requires ?? []) visit(each);
    found.add(name);
  };
  names.forEach(visit);
  return found;
}
