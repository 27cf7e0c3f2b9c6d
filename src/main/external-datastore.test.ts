import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { ReplicaHandle } from "#replica/types.ts";
import { patiently } from "./external-datastore.ts";

const warnings: string[] = [];
const none = (): void => {};
const logger: Logger = {
  debug: none,
  info: none,
  warn: (_message, fields) => void warnings.push(String(fields?.["error"])),
  error: none,
};

test("a node that starts while members of the etcd die waits, and ends only for what waiting does not mend", async () => {
  const opened = {} as ReplicaHandle;
  const failures = [
    new StatusError("ServiceUnavailable", "the external datastore can't be reached"),
    new StatusError("Timeout", "etcdserver: request timed out"),
  ];
  const open = async (): Promise<ReplicaHandle> => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return opened;
  };
  assert.equal(await patiently(open, logger), opened);
  assert.deepEqual(warnings, ["the external datastore can't be reached", "etcdserver: request timed out"]);
  failures.push(new StatusError("Forbidden", "the external datastore refuses this node"));
  await assert.rejects(patiently(open, logger), /refuses this node/);
});
