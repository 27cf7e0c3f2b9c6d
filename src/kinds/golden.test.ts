/** The recorded conversations against the kinds, with a ratchet: what passed once must keep passing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseScenario, replay } from "./golden-replay.test-suite.ts";
import ratchet from "./golden-ratchet.json" with { type: "json" };

const golden = join(import.meta.dirname, "../../../shared/golden");
const corpus = join(golden, "api/corpus");
const skip = existsSync(corpus) ? false : `no recorded conversations at ${corpus}`;

test("writes are answered as recorded, at least as many as before", { skip }, () => {
  const passed: Record<string, number> = {};
  for (const file of readdirSync(corpus, { recursive: true, encoding: "utf8" })) {
    if (!/^(crud|validation)\/.*\.json$/.test(file)) continue;
    const folder = file.split("/").slice(1, -1).join("/");
    const results = replay(parseScenario(readFileSync(join(corpus, file), "utf8")));
    passed[folder] = (passed[folder] ?? 0) + results.filter((each) => each.differences.length === 0).length;
  }
  for (const [folder, least] of Object.entries(ratchet as Record<string, number>))
    assert.ok((passed[folder] ?? 0) >= least, `${folder}: ${passed[folder]} steps pass, ${least} did before`);
});

test("columns have the recorded names, types, formats and priorities", { skip }, async () => {
  const { allKinds } = await import("./all.ts");
  const recorded = JSON.parse(readFileSync(join(golden, "facts/table-columns.json"), "utf8")) as Record<
    string,
    { name: string; type: string; format: string; priority: number }[]
  >;
  const wrong: string[] = [];
  for (const kind of allKinds) {
    const path =
      kind.group === "" ? `api/v1/${kind.plural}` : `apis/${kind.group}/${kind.version}/${kind.plural}`;
    const expected = recorded[path]?.map(
      (each) => `${each.name}:${each.type}:${each.format}:${each.priority}`,
    );
    const actual = kind.columns.map(
      (each) => `${each.name}:${each.type}:${each.format ?? ""}:${each.priority}`,
    );
    if (expected !== undefined && expected.join() !== actual.join()) wrong.push(path);
  }
  assert.deepEqual(wrong, []);
});

test("resources, verbs and subresources are those of discovery", { skip }, async () => {
  const { allKinds } = await import("./all.ts");
  interface Discovered {
    resource: string;
    responseKind: { kind: string };
    scope: string;
    singularResource: string;
    verbs: string[];
    shortNames?: string[];
    categories?: string[];
    subresources?: { subresource: string; verbs: string[] }[];
  }
  const document = JSON.parse(
    readFileSync(join(golden, "facts/discovery-aggregated.json"), "utf8"),
  ) as Record<
    string,
    { items: { metadata: { name?: string }; versions: { version: string; resources: Discovered[] }[] }[] }
  >;
  let count = 0;
  for (const { items } of Object.values(document))
    for (const { metadata, versions } of items)
      for (const { version, resources } of versions)
        for (const each of resources) {
          count += 1;
          const kind = allKinds.find(
            (one) =>
              one.group === (metadata.name ?? "") && one.version === version && one.plural === each.resource,
          );
          assert.ok(kind, each.resource);
          assert.deepEqual(
            [
              kind.kind,
              kind.namespaced,
              kind.singular,
              kind.verbs,
              kind.shortNames ?? [],
              kind.categories ?? [],
            ],
            [
              each.responseKind.kind,
              each.scope === "Namespaced",
              each.singularResource,
              each.verbs,
              each.shortNames ?? [],
              each.categories ?? [],
            ],
          );
          assert.deepEqual(
            Object.entries(kind.subresources ?? {})
              .map(([name, { verbs }]) => [name, verbs])
              .sort(([a], [b]) => String(a).localeCompare(String(b))),
            (each.subresources ?? [])
              .map(({ subresource, verbs }) => [subresource, verbs])
              .sort(([a], [b]) => String(a).localeCompare(String(b))),
            each.resource,
          );
        }
  assert.equal(allKinds.length, count);
});
