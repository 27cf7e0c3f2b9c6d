/**
 * The environment of a container: service variables first, then envFrom, then env in order, where each
 * value may refer to what came before. Pure: ConfigMaps and Secrets are given; a missing one that isn't
 * optional throws ContainerConfigError, which becomes CreateContainerConfigError in the pod's status.
 */
import type { AnyContainer, ConfigMap, EnvVar, Pod, Secret, Service } from "../types.ts";
import { expand } from "./expansion.ts";
import { fieldValue, resourceValue } from "./field-ref.ts";
import type { NodeFacts } from "./field-ref.ts";

export class ContainerConfigError extends Error {
  override name = "ContainerConfigError";
}

export interface EnvironmentInput {
  pod: Pod;
  container: AnyContainer;
  podIps: readonly string[];
  node: NodeFacts;
  services: readonly Service[];
  /** Where pods reach the API, for the kubernetes Service's variables. */
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

export function containerEnvironment(input: EnvironmentInput): Map<string, string> {
  const result = new Map<string, string>();
  const fromServices = serviceVariables(input.pod, input.services);
  for (const source of input.container.envFrom ?? []) addSource(input, source, result);
  for (const variable of input.container.env ?? []) {
    const value = variableValue(input, variable, (name) => result.get(name) ?? fromServices.get(name));
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of fromServices) if (!result.has(name)) result.set(name, value);
  return result;
}

/** Docker-link style variables of the services that a pod may see. */
export function serviceVariables(pod: Pod, services: readonly Service[]): Map<string, string> {
  const result = new Map<string, string>();
  const links = pod.spec.enableServiceLinks !== false;
  for (const service of services) {
    const { name, namespace } = service.metadata;
    const ip = service.spec.clusterIP;
    if (!ip || ip === "None") continue;
    const master = namespace === "default" && name === "kubernetes";
    if (!master && !(links && namespace === pod.metadata.namespace)) continue;
    // A service of the same name in the pod's own namespace wins.
    addService(result, service, ip);
  }
  return result;
}

function addService(result: Map<string, string>, service: Service, ip: string): void {
  const prefix = (service.metadata.name ?? "").toUpperCase().replaceAll("-", "_");
  const ports = service.spec.ports ?? [];
  const first = ports[0];
  if (!first) return;
  const host = ip.includes(":") ? `[${ip}]` : ip;
  result.set(`${prefix}_SERVICE_HOST`, ip);
  result.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports) {
    if (port.name) {
      const name = port.name.toUpperCase().replaceAll("-", "_");
      result.set(`${prefix}_SERVICE_PORT_${name}`, String(port.port));
    }
  }
  const url = (port: typeof first) => `${(port.protocol ?? "TCP").toLowerCase()}://${host}:${port.port}`;
  result.set(`${prefix}_PORT`, url(first));
  for (const port of ports) {
    const protocol = port.protocol ?? "TCP";
    const key = `${prefix}_PORT_${port.port}_${protocol}`;
    result.set(key, url(port));
    result.set(`${key}_PROTO`, protocol.toLowerCase());
    result.set(`${key}_PORT`, String(port.port));
    result.set(`${key}_ADDR`, ip);
  }
}

function addSource(
  input: EnvironmentInput,
  source: NonNullable<AnyContainer["envFrom"]>[number],
  result: Map<string, string>,
): void {
  const prefix = source.prefix ?? "";
  const { configMapRef, secretRef } = source;
  if (configMapRef) {
    const name = configMapRef.name ?? "";
    const found = input.configMap(name);
    if (!found && configMapRef.optional) return;
    if (!found) throw new ContainerConfigError(`configmap ${JSON.stringify(name)} not found`);
    for (const [key, value] of Object.entries(found.data ?? {})) result.set(prefix + key, value);
  }
  if (secretRef) {
    const name = secretRef.name ?? "";
    const found = input.secret(name);
    if (!found && secretRef.optional) return;
    if (!found) throw new ContainerConfigError(`secret ${JSON.stringify(name)} not found`);
    for (const [key, value] of Object.entries(found.data ?? {})) result.set(prefix + key, decode(value));
  }
}

function variableValue(
  input: EnvironmentInput,
  variable: EnvVar,
  known: (name: string) => string | undefined,
): string | undefined {
  const { pod, container } = input;
  const from = variable.valueFrom;
  if (!from) return expand(variable.value ?? "", known);
  const where = `${pod.metadata.namespace}/`;
  if (from.fieldRef) return fieldValue(from.fieldRef.fieldPath, pod, input.podIps, input.node);
  if (from.resourceFieldRef) return resourceValue(from.resourceFieldRef, pod, container.name, input.node);
  const reference = from.configMapKeyRef ?? from.secretKeyRef;
  if (!reference) return "";
  const name = reference.name ?? "";
  const kind = from.configMapKeyRef ? "configmap" : "secret";
  const found = from.configMapKeyRef ? input.configMap(name) : input.secret(name);
  if (!found) {
    if (reference.optional) return undefined;
    throw new ContainerConfigError(`${kind} ${JSON.stringify(name)} not found`);
  }
  const value = found.data?.[reference.key];
  if (value !== undefined) return from.configMapKeyRef ? value : decode(value);
  if (reference.optional) return undefined;
  const title = kind === "secret" ? "Secret" : "ConfigMap";
  throw new ContainerConfigError(`couldn't find key ${reference.key} in ${title} ${where}${name}`);
}

function decode(base64: string): string {
  const bytes = Uint8Array.fromBase64(base64);
  return new TextDecoder().decode(bytes);
}
