import assert from "node:assert/strict";
import { test } from "node:test";
import type { KeyValue } from "#base/backend.ts";
import { configMap } from "#kinds/config-map.ts";
import { CacheIndex } from "./cache-index.ts";
import { ObjectCodec } from "./entry.ts";
import { ResourceCache } from "./resource-cache.ts";

const codec = new ObjectCodec(configMap);
const prefix = "/registry/configmaps/";

function keyValue(name: string, revision: number, value: string): KeyValue {
  const object = { kind: "ConfigMap", apiVersion: "v1", metadata: { name }, data: { v: value } };
  return {
    key: `${prefix}ns/${name}`,
    value: codec.encode(object),
    createRevision: revision,
    modRevision: revision,
    version: 1,
    lease: "0",
  };
}

test("an index follows puts, deletions and a replaced cache", () => {
  const cache = new ResourceCache(codec, prefix);
  const index = new CacheIndex(
    () => cache,
    (entry) => [(entry.decode()["data"] as { v: string }).v],
  );
  cache.replace([keyValue("a", 2, "x")], 2);
  assert.equal(index.has("x"), true);
  cache.apply({ type: "put", kv: keyValue("b", 3, "x") });
  cache.apply({ type: "put", kv: keyValue("a", 4, "y") });
  assert.deepEqual([index.has("x"), index.has("y")], [true, true]);
  cache.apply({ type: "delete", kv: { ...keyValue("b", 5, ""), value: new Uint8Array() } });
  assert.equal(index.has("x"), false);
  cache.replace([keyValue("c", 7, "z")], 7);
  assert.deepEqual([index.has("y"), index.has("z")], [false, true]);
});
