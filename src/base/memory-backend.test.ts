/** The backend in memory conforms, and ends its watches when it is closed. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { backendConformance, Recording } from "#base/backend-conformance.test-suite.ts";
import { MemoryBackend } from "#base/memory-backend.ts";

backendConformance("memory", async () => {
  const backend = new MemoryBackend();
  return { backend, close: async () => backend.close() };
});

test("closing ends the watches with an error, and calls are refused", async () => {
  const backend = new MemoryBackend();
  const watch = new Recording(backend, "/");
  await backend.close();
  assert.ok(watch.error !== undefined);
  await assert.rejects(backend.readRevision(), /closed/);
});
