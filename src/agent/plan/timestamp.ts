/** Times as Kubernetes writes them. */

/** RFC 3339 to the second. */
export function timestamp(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 with microseconds (MicroTime), as leases have it. */
export function microTimestamp(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 23)}000Z`;
}
