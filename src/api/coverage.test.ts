/** The list of resources in docs/coverage.md is what discovery says. UPDATE_GOLDEN=1 writes it anew. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { testServer } from "./server.test-suite.ts";

const path = new URL("../../docs/coverage.md", import.meta.url);
const begin = "<!-- From here on: UPDATE_GOLDEN=1 node --test src/api/coverage.test.ts -->\n";
const end = "<!-- to here. -->\n";
const usualVerbs = "create delete deletecollection get list patch update watch";

interface ResourceList {
  resources: { name: string; kind: string; namespaced: boolean; verbs: string[]; shortNames?: string[] }[];
}

test("docs/coverage.md lists the resources that are served", async () => {
  const api = testServer();
  const ask = async <T>(where: string): Promise<T> => {
    const { body } = await api.handler({
      method: "GET",
      path: where,
      query: "",
      headers: { accept: "application/json" },
      body: new Uint8Array(),
      signal: new AbortController().signal,
      user: { name: "admin", groups: ["system:masters"] },
    });
    return JSON.parse(Buffer.from(body as Uint8Array).toString("utf8")) as T;
  };
  try {
    await api.ready();
    const { groups } = await ask<{ groups: { versions: { groupVersion: string }[] }[] }>("/apis");
    const versions = [
      "v1",
      ...groups.flatMap((each) => each.versions.map(({ groupVersion }) => groupVersion)),
    ];
    const rows: string[] = [];
    for (const version of versions.filter((each) => each !== "metrics.k8s.io/v1beta1")) {
      const { resources } = await ask<ResourceList>(version === "v1" ? "/api/v1" : `/apis/${version}`);
      for (const { name, kind, namespaced, verbs, shortNames = [] } of resources) {
        if (name.includes("/")) continue;
        const parts = resources.flatMap((each) =>
          each.name.startsWith(`${name}/`) ? [each.name.slice(name.length + 1)] : [],
        );
        const said = verbs.toSorted().join(" ");
        const cells = [
          version,
          [name, ...shortNames].join(", "),
          kind,
          namespaced ? "yes" : "",
          said === usualVerbs ? "all" : said,
          parts.toSorted().join(", "),
        ];
        rows.push(`| ${cells.join(" | ")} |`);
      }
    }
    const head =
      "| version | resource, short names | kind | namespaced | verbs | with |\n| --- | --- | --- | --- | --- | --- |";
    const wanted = `${begin}\n${head}\n${rows.join("\n")}\n\n${end}`;
    const text = readFileSync(path, "utf8");
    const found = text.slice(text.indexOf(begin), text.indexOf(end) + end.length);
    if (process.env["UPDATE_GOLDEN"] === "1")
      writeFileSync(
        path,
        text.replace(found, () => wanted),
      );
    else assert.equal(found, wanted);
  } finally {
    await api.close();
  }
});
