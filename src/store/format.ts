/**
 * Formats: one number stands for everything that replicas write to their disks and say to each other, so that
 * releases which differ can work together. The rule is in DESIGN.md, "Formats".
 */

import { FatalError } from "#base/errors.ts";

/** What a release can read and write, both ends included. */
export interface FormatRange {
  min: number;
  max: number;
}

/**
 * Of this release. Whoever changes a file or a message so that an older release could not read it raises `max`.
 * 2: leases (see `formatOf` in command.ts).
 */
export const supportedFormats: FormatRange = { min: 1, max: 2 };

/** Throws FatalError "unsupported" for what another release has written and this one can't read. */
export function checkFormat(found: number, formats: FormatRange, what: string): void {
  const { min, max } = formats;
  if (found >= min && found <= max) return;
  const release = found > max ? "a newer" : "an older";
  throw new FatalError(
    "unsupported",
    `${what} has format ${found}, and this release reads ${rangeText(formats)}: ` +
      `start ${release} release of Trivet on it, or restore a backup into an empty data directory`,
  );
}

/** The highest format that both know, or undefined. */
export function commonFormat(a: FormatRange, b: FormatRange): number | undefined {
  const common = Math.min(a.max, b.max);
  return common >= Math.max(a.min, b.min) ? common : undefined;
}

export function rangeText({ min, max }: FormatRange): string {
  return min === max ? `${min}` : `${min} to ${max}`;
}
