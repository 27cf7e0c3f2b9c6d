/**
 * What the etcd API puts behind a backup that "etcdctl snapshot save" fetches, as etcd's clients expect it of a
 * snapshot: zeros up to a whole page, then the SHA-256 of everything before it. Pure.
 */

import type { Hash } from "node:crypto";

const pageBytes = 512;
const sumBytes = 32;

/** The longest that a trailer can be. */
export const trailerBytesMax = pageBytes - 1 + sumBytes;

/** `whole`: a hash of the `sizeBytes` of the backup itself; it is used up. */
export function isSnapshotTrailer(rest: Buffer, sizeBytes: number, whole: Hash): boolean {
  const padding = rest.subarray(0, rest.length - sumBytes);
  return (
    rest.length >= sumBytes &&
    (sizeBytes + padding.length) % pageBytes === 0 &&
    padding.every((byte) => byte === 0) &&
    whole.update(padding).digest().equals(rest.subarray(-sumBytes))
  );
}
