/** Which Pod Security Standards a namespace asks for: its labels, read and checked. */
import { invalid } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";

export type Level = "privileged" | "baseline" | "restricted";

export interface LevelVersion {
  level: Level;
  /** The minor version of Kubernetes whose standards count; "latest" for this server's. */
  version: number | "latest";
}

export interface NamespacePolicy {
  enforce: LevelVersion;
  warn: LevelVersion;
  errors: FieldError[];
}

const prefix = "pod-security.kubernetes.io/";
const levels: readonly string[] = ["privileged", "baseline", "restricted"];

/** Labels that can't be read count as the strictest level, so that a mistake opens nothing. */
export function policyOf(labels: Readonly<Record<string, string>> | undefined): NamespacePolicy {
  const errors: FieldError[] = [];
  const enforce = readMode(labels, "enforce", errors);
  readMode(labels, "audit", errors);
  const warn = readMode(labels, "warn", errors);
  const warnsLikeEnforced = labels?.[`${prefix}warn`] === undefined;
  const warnVersionGiven = labels?.[`${prefix}warn-version`] !== undefined;
  return {
    enforce,
    warn: warnsLikeEnforced
      ? { level: enforce.level, version: warnVersionGiven ? warn.version : enforce.version }
      : warn,
    errors,
  };
}

export function describe({ level, version }: LevelVersion): string {
  return `${level}:${version === "latest" ? version : `v1.${version}`}`;
}

export function isStricter(left: LevelVersion, right: LevelVersion): boolean {
  return levels.indexOf(left.level) > levels.indexOf(right.level);
}

function readMode(
  labels: Readonly<Record<string, string>> | undefined,
  mode: string,
  errors: FieldError[],
): LevelVersion {
  const result: LevelVersion = { level: "privileged", version: "latest" };
  const level = labels?.[prefix + mode];
  if (level !== undefined) {
    if (levels.includes(level)) result.level = level as Level;
    else {
      result.level = "restricted";
      const field = `metadata.labels[${prefix}${mode}]`;
      errors.push(invalid(field, level, `must be one of ${levels.join(", ")}`));
    }
  }
  const version = labels?.[`${prefix}${mode}-version`];
  if (version === undefined || version === "latest") return result;
  const minor = /^v1\.(0|[1-9]\d*)$/.exec(version)?.[1];
  if (minor !== undefined) result.version = Number(minor);
  else {
    const field = `metadata.labels[${prefix}${mode}-version]`;
    errors.push(invalid(field, version, 'must be "latest" or "v1.x"'));
  }
  return result;
}
