/** Recorded conversations about custom resources, replayed without a server. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { invalidError } from "#kinds/field-error.ts";
import type { KubeObject } from "#kinds/object.ts";
import { cloneJson, equalJson } from "#api/patch/json.ts";
import { goldenAbsent, goldenBody, goldenScenarios } from "#api/apply/golden-schemas.test-suite.ts";
import type { GoldenScenario } from "#api/apply/golden-schemas.test-suite.ts";
import { withDefinitionDefaults } from "./definition-strategy.ts";
import { validateDefinition } from "./validate-definition.ts";
import { customKind } from "./custom-kind.ts";
import type { CustomKind } from "./custom-kind.ts";
import type { CustomResourceDefinition } from "./definition.ts";

test("recorded custom resources: decoding, defaults, validation", { skip: goldenAbsent }, () => {
  const differences: string[] = [];
  let compared = 0;
  for (const { file, scenario } of goldenScenarios("crd").map(withId)) {
    let custom: CustomKind | undefined;
    for (const step of scenario.steps) {
      const body = step.request.method === "POST" ? safeBody(() => goldenBody(scenario, step)) : undefined;
      if (body === undefined) continue;
      if (step.request.path.endsWith("/customresourcedefinitions")) {
        const crd = body as CustomResourceDefinition;
        const [version] = crd.spec.versions;
        if (step.response.status === 201 && version !== undefined && step.name === "define")
          custom = customKind(crd, version);
        if (step.response.status !== 422) continue;
        compared++;
        const errors = validateDefinition(withDefinitionDefaults(crd));
        const message =
          errors.length === 0
            ? "valid"
            : invalidError(
                { group: "apiextensions.k8s.io", kind: crd.kind ?? "", name: crd.metadata.name ?? "" },
                errors,
              ).message;
        if (message !== step.response.body?.["message"])
          differences.push(
            `${file}: ${step.name}: ${message}\n   instead of ${String(step.response.body?.["message"])}`,
          );
        continue;
      }
      if (custom === undefined || !step.request.path.includes("/widgets")) continue;
      compared++;
      const outcome = replay(custom, body as Record<string, unknown>);
      const recorded = step.response.body;
      const expected =
        step.response.status >= 400
          ? String(recorded?.["message"]).replace(
              /^Widget in version "v1" cannot be handled as a Widget: /,
              "",
            )
          : recorded?.["spec"];
      const isStrict = step.request.query?.["fieldValidation"] === "Strict" || step.name === "duplicate";
      if (!isStrict && recorded !== undefined && !equalJson(outcome, expected))
        differences.push(
          `${file}: ${step.name}: ${JSON.stringify(outcome)}\n   instead of ${JSON.stringify(expected)}`,
        );
    }
  }
  assert.ok(compared > 250, `compared ${compared}`);
  assert.deepEqual(
    differences.map((each) => each.slice(0, 300)),
    [],
  );
});

/** Names contain a placeholder, which is no name. */
function withId(
  each: ReturnType<typeof goldenScenarios>[number],
): ReturnType<typeof goldenScenarios>[number] {
  return {
    file: each.file,
    scenario: JSON.parse(JSON.stringify(each.scenario).replaceAll("$ID", "id")) as GoldenScenario,
  };
}

function safeBody(make: () => unknown): unknown {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** The spec that is stored, or the text of the error. */
function replay(custom: CustomKind, body: Record<string, unknown>): unknown {
  const decoded = custom.decode(cloneJson(body));
  const [error] = decoded.errors;
  if (error !== undefined) return error;
  const object = decoded.object as unknown as KubeObject;
  custom.kind.applyDefaults?.(object);
  const errors = custom.kind.validate?.(object) ?? [];
  if (errors.length === 0) return object["spec"];
  const { group, kind } = custom.kind;
  return invalidError({ group, kind, name: object.metadata.name ?? "" }, errors).message;
}
