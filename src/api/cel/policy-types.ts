/**
 * What a ValidatingAdmissionPolicy's expressions get wrong about the kinds that it names
 * (k8s.io/apiserver, admission/plugin/policy/validating/typechecking.go): warnings for its status. Only
 * `object` and `oldObject` have a known type, and `params` where its kind is known; the rest is open.
 */
import type { Environment } from "@marcbachmann/cel-js";
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { findSchema, referencedName } from "#kinds/schemas.ts";
import type { Resource, ResourceRegistry } from "#api/registry.ts";
import { declaredType } from "./declared-type.ts";
import type { DeclaredType } from "./declared-type.ts";
import { newEnvironment } from "./environment.ts";
import { syntaxError } from "./expression-errors.ts";
import { typeProblem } from "./type-problems.ts";
import { registerObjects } from "./typed-expressions.ts";

export interface ExpressionWarning {
  fieldRef: string;
  warning: string;
}

interface Policy extends KubeObject {
  spec: {
    paramKind?: { apiVersion?: string; kind?: string };
    matchConstraints?: {
      resourceRules?: { apiGroups?: string[]; apiVersions?: string[]; resources?: string[] }[];
    };
    validations?: { expression?: string; messageExpression?: string }[];
  };
}

/** More kinds than this are not looked at: upstream's limit. */
const kindsMax = 10;
/** Definitions that contain themselves are open from here on. */
const depthMax = 12;
const open: Schema = { "x-kubernetes-int-or-string": true };

export function policyTypeWarnings(registry: ResourceRegistry, policy: KubeObject): ExpressionWarning[] {
  const { spec } = policy as Policy;
  const params = resourceOfKind(registry, spec.paramKind);
  const scenes = kindsOf(registry, spec)
    .map((resource) => ({ title: titleOf(resource), environment: environmentOf(resource, params) }))
    .toSorted((a, b) => (a.title < b.title ? -1 : 1));
  const warnings: ExpressionWarning[] = [];
  const check = (fieldRef: string, text: string | undefined): void => {
    if (text === undefined || text.trim() === "") return;
    const found = scenes.flatMap(({ title, environment }) => {
      const problem = problemOf(text, environment);
      return problem === undefined ? [] : [`${title}: ${problem}`];
    });
    if (found.length > 0) warnings.push({ fieldRef, warning: found.join("\n") });
  };
  for (const [index, { expression, messageExpression }] of (spec.validations ?? []).entries()) {
    check(`spec.validations[${index}].expression`, expression);
    check(`spec.validations[${index}].messageExpression`, messageExpression);
  }
  return warnings;
}

/** Kinds of rules that name group, version and resource; those with wildcards say nothing about types. */
function kindsOf(registry: ResourceRegistry, { matchConstraints }: Policy["spec"]): Resource[] {
  const found = new Set<Resource>();
  for (const rule of matchConstraints?.resourceRules ?? []) {
    const { apiGroups = [], apiVersions = [], resources = [] } = rule;
    if ([...apiGroups, ...apiVersions, ...resources].some((each) => each.includes("*"))) continue;
    for (const group of apiGroups)
      for (const version of apiVersions)
        for (const plural of resources) {
          const resource = registry.find(group, version, plural);
          if (resource !== undefined && found.size < kindsMax) found.add(resource);
        }
  }
  return [...found];
}

function resourceOfKind(
  registry: ResourceRegistry,
  paramKind: Policy["spec"]["paramKind"],
): Resource | undefined {
  const [version = "", group = ""] = (paramKind?.apiVersion ?? "").split("/").toReversed();
  return [...registry.all()].find(
    ({ kind }) => kind.group === group && kind.version === version && kind.kind === paramKind?.kind,
  );
}

function titleOf({ kind: { group, version, kind } }: Resource): string {
  return `${group === "" ? version : `${group}/${version}`}, Kind=${kind}`;
}

function environmentOf(resource: Resource, params: Resource | undefined): Environment {
  const environment = newEnvironment();
  const object = typeOf(resource, "object");
  for (const name of ["object", "oldObject"])
    environment.registerVariable(name, declare(environment, object));
  const paramType = params === undefined ? undefined : typeOf(params, "params");
  environment.registerVariable("params", declare(environment, paramType));
  for (const name of ["request", "namespaceObject", "authorizer", "variables"])
    environment.registerVariable(name, "dyn");
  return environment;
}

const declared = new WeakMap<Environment, Set<DeclaredType>>();

function declare(environment: Environment, type: DeclaredType | undefined): string {
  if (type === undefined) return "dyn";
  const known = declared.get(environment) ?? new Set();
  if (!known.has(type)) registerObjects(environment, type);
  declared.set(environment, known.add(type));
  return type.cel;
}

function typeOf({ kind, schema }: Resource, name: string): DeclaredType | undefined {
  const whole = schema ?? findSchema(kind.schemaName);
  if (whole === undefined) return undefined;
  return declaredType(withoutReferences(whole, 0), schema !== undefined, name);
}

/** The schema with its definitions in their places; what has no single type is open. */
function withoutReferences(schema: Schema, depth: number): Schema {
  const referenced = referencedName(schema);
  const plain = referenced === undefined ? schema : findSchema(referenced);
  if (plain === undefined || depth > depthMax) return open;
  if (plain["x-kubernetes-int-or-string"] === true) return open;
  if (plain.type === "array")
    return plain.items === undefined
      ? open
      : { type: "array", items: withoutReferences(plain.items, depth + 1) };
  if (plain.type !== "object") return plain.type === undefined ? open : plain;
  if (plain["x-kubernetes-preserve-unknown-fields"] === true) return open;
  if (typeof plain.additionalProperties === "object")
    return { type: "object", additionalProperties: withoutReferences(plain.additionalProperties, depth + 1) };
  if (plain.properties === undefined) return open;
  const properties = Object.entries(plain.properties).map(([key, each]): [string, Schema] => [
    key,
    withoutReferences(each, depth + 1),
  ]);
  return { type: "object", properties: Object.fromEntries(properties) };
}

function problemOf(text: string, environment: Environment): string | undefined {
  let problem: string;
  try {
    const { valid, error } = environment.parse(text).check();
    if (valid) return undefined;
    problem = typeProblem(text, error);
  } catch (error) {
    problem = syntaxError(text, error);
  }
  return problem.replace(/^compilation failed: /, "");
}
