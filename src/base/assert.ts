/**
 * Assertions. They are always on: a violated assertion is a bug, the process dies and the cluster
 * absorbs the loss of one node.
 */

export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Throws AssertionError when the condition does not hold. The message names the invariant. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default branch of a switch that must be exhaustive. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value ${JSON.stringify(value)}`);
}
