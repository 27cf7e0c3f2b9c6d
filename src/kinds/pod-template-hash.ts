/** A short, stable hash of a pod template, for labels and names (pod-template-hash, controller-revision-hash). */
import type { PodTemplateSpec } from "kubernetes-types/core/v1.d.ts";
import { nameAlphabet } from "./names.ts";

/**
 * FNV-1a (64 bits) of the canonical JSON, written in the alphabet of generated names, ten characters.
 * `collisionCount` makes another hash where the first is taken. Not upstream's value: its hash is of
 * Go's memory layout, and clients may only compare hashes.
 */
export function hashPodTemplate(template: PodTemplateSpec, collisionCount = 0): string {
  return hashText(canonicalJson(template) + (collisionCount === 0 ? "" : `#${collisionCount}`));
}

function hashText(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  const base = BigInt(nameAlphabet.length);
  let result = "";
  for (let index = 0; index < 10; index += 1) {
    result += nameAlphabet[Number(hash % base)] ?? "";
    hash /= base;
  }
  return result;
}

/** JSON with sorted keys; absent and null values are left out. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value)
    .filter(([, each]) => each !== undefined && each !== null)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`);
  return `{${entries.join(",")}}`;
}
