/** Probes and lifecycle handlers of containers: defaults and validation. */
import type {
  ExecAction,
  HTTPGetAction,
  Lifecycle,
  LifecycleHandler,
  Probe,
} from "kubernetes-types/core/v1.d.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { httpHeaderErrors, portNameErrors, portNumberErrors } from "./names.ts";

type GrpcAction = { port?: number; service?: string };
type Handler = {
  exec?: ExecAction;
  httpGet?: HTTPGetAction;
  tcpSocket?: { host?: string; port: number | string };
  sleep?: { seconds: number };
  grpc?: GrpcAction;
};

export function defaultProbe(probe: Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  defaultHttpGet(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= "";
}

export function defaultLifecycle(lifecycle: Lifecycle | undefined): void {
  defaultHttpGet(lifecycle?.postStart?.httpGet);
  defaultHttpGet(lifecycle?.preStop?.httpGet);
}

function defaultHttpGet(action: HTTPGetAction | undefined): void {
  if (action === undefined) return;
  action.path ||= "/";
  action.scheme ||= "HTTP";
}

export type ProbeKind = "livenessProbe" | "readinessProbe" | "startupProbe";

export function validateProbe(
  probe: Probe | undefined,
  kind: ProbeKind,
  gracePeriodSeconds: number | undefined,
  path: string,
): FieldError[] {
  if (probe === undefined) return [];
  const errors = validateHandler(probe as Handler, gracePeriodSeconds, path);
  for (const field of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const)
    if ((probe[field] ?? 0) < 0)
      errors.push(invalid(`${path}.${field}`, probe[field], "must be greater than or equal to 0"));
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0)
    errors.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0"));
  if (kind === "readinessProbe") {
    if (grace !== undefined)
      errors.push(
        invalid(`${path}.terminationGracePeriodSeconds`, grace, "must not be set for readinessProbes"),
      );
  } else if (probe.successThreshold !== 1)
    errors.push(invalid(`${path}.successThreshold`, probe.successThreshold ?? 0, "must be 1"));
  return errors;
}

export function validateLifecycle(
  lifecycle: Lifecycle | undefined,
  gracePeriodSeconds: number | undefined,
  path: string,
): FieldError[] {
  const validate = (handler: LifecycleHandler | undefined, name: string): FieldError[] =>
    handler === undefined ? [] : validateHandler(handler as Handler, gracePeriodSeconds, `${path}.${name}`);
  return [...validate(lifecycle?.postStart, "postStart"), ...validate(lifecycle?.preStop, "preStop")];
}

function validateHandler(
  handler: Handler,
  gracePeriodSeconds: number | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  const another = (field: string, validate: () => FieldError[]): void => {
    if (count > 0) errors.push(forbidden(`${path}.${field}`, "may not specify more than 1 handler type"));
    else errors.push(...validate());
    count += 1;
  };
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec !== undefined)
    another("exec", () => ((exec.command ?? []).length === 0 ? [required(`${path}.exec.command`)] : []));
  if (httpGet !== undefined) another("httpGet", () => validateHttpGet(httpGet, `${path}.httpGet`));
  if (tcpSocket !== undefined)
    another("tcpSocket", () => portErrors(tcpSocket.port, `${path}.tcpSocket.port`));
  if (grpc !== undefined)
    another("grpc", () =>
      portNumberErrors(grpc.port ?? 0).map((each) => invalid(`${path}.grpc.port`, grpc.port ?? 0, each)),
    );
  if (sleep !== undefined)
    another("sleep", () => validateSleep(sleep.seconds ?? 0, gracePeriodSeconds, `${path}.sleep`));
  if (count === 0) errors.push(required(path, "must specify a handler type"));
  return errors;
}

function validateHttpGet(action: HTTPGetAction, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!action.path) errors.push(required(`${path}.path`));
  errors.push(...portErrors(action.port, `${path}.port`));
  if (!["HTTP", "HTTPS"].includes(action.scheme ?? ""))
    errors.push(notSupported(`${path}.scheme`, action.scheme ?? "", ["HTTP", "HTTPS"]));
  for (const header of action.httpHeaders ?? [])
    errors.push(
      ...httpHeaderErrors(header.name ?? "").map((each) => invalid(`${path}.httpHeaders`, header.name, each)),
    );
  return errors;
}

function validateSleep(seconds: number, gracePeriodSeconds: number | undefined, path: string): FieldError[] {
  const grace = gracePeriodSeconds ?? 0;
  if (gracePeriodSeconds === undefined || (seconds > 0 && seconds <= grace)) return [];
  return [
    invalid(
      path,
      seconds,
      `must be greater than 0 and less than terminationGracePeriodSeconds (${grace}). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep.`,
    ),
  ];
}

/** A port by number or by name. */
export function portErrors(port: number | string | undefined, path: string): FieldError[] {
  if (typeof port === "string") return portNameErrors(port).map((each) => invalid(path, port, each));
  return portNumberErrors(port ?? 0).map((each) => invalid(path, port ?? 0, each));
}
