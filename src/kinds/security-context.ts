/** Security contexts of pods and containers. */
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
  WindowsSecurityContextOptions,
} from "kubernetes-types/core/v1.d.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goPointer } from "./go-syntax.ts";
import { byteLength } from "./metadata.ts";
import { dnsSubdomainErrors, sysctlErrors } from "./names.ts";
import { localPathErrors } from "./paths.ts";

const idRange = "must be between 0 and 2147483647, inclusive";

export function validatePodSecurityContext(
  context: PodSecurityContext | undefined,
  spec: PodSpec,
  path: string,
): FieldError[] {
  if (context === undefined) return [];
  const errors: FieldError[] = [
    ...idErrors(context.fsGroup, `${path}.fsGroup`),
    ...idErrors(context.runAsUser, `${path}.runAsUser`),
    ...idErrors(context.runAsGroup, `${path}.runAsGroup`),
  ];
  for (const [index, group] of (context.supplementalGroups ?? []).entries())
    errors.push(...idErrors(group, `${path}.supplementalGroups[${index}]`));
  if (spec.shareProcessNamespace === true && spec.hostPID === true)
    errors.push(
      invalid(
        `${path}.shareProcessNamespace`,
        true,
        "ShareProcessNamespace and HostPID cannot both be enabled",
      ),
    );
  if (context.sysctls !== undefined && context.sysctls.length > 0) {
    const seen = new Set<string>();
    for (const [index, { name }] of context.sysctls.entries()) {
      const at = `${path}.sysctls[${index}].name`;
      if (!name) errors.push(required(at));
      else if (sysctlErrors(name).length > 0)
        errors.push(...sysctlErrors(name).map((each) => invalid(at, name, each)));
      else if (seen.has(name)) errors.push(duplicate(at, name));
      seen.add(name);
      const owner = hostNamespaceOf(name ?? "");
      if (owner !== undefined && spec[owner] === true)
        errors.push(invalid(at, name, `may not be specified when '${owner}' is true`));
    }
  }
  if (
    context.fsGroupChangePolicy !== undefined &&
    !["OnRootMismatch", "Always"].includes(context.fsGroupChangePolicy)
  )
    errors.push(
      notSupported(`${path}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ["Always", "OnRootMismatch"]),
    );
  errors.push(
    ...validateSeccompProfile(context.seccompProfile, `${path}.seccompProfile`),
    ...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`),
    ...validateAppArmorProfile(appArmorOf(context), `${path}.appArmorProfile`),
  );
  return errors;
}

/** The field that takes a pod out of the namespace which a kernel parameter belongs to. */
function hostNamespaceOf(sysctl: string): "hostNetwork" | "hostIPC" | undefined {
  const name = sysctl.replaceAll("/", ".");
  if (name.startsWith("net.")) return "hostNetwork";
  const ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
  return name === "kernel.sem" || ipc.some((each) => name.startsWith(each)) ? "hostIPC" : undefined;
}

export function validateSecurityContext(
  context: SecurityContext | undefined,
  path: string,
  hostUsers: boolean,
): FieldError[] {
  if (context === undefined) return [];
  const errors: FieldError[] = [
    ...idErrors(context.runAsUser, `${path}.runAsUser`),
    ...idErrors(context.runAsGroup, `${path}.runAsGroup`),
  ];
  if (context.procMount !== undefined) {
    if (!["Default", "Unmasked"].includes(context.procMount))
      errors.push(notSupported(`${path}.procMount`, context.procMount, ["Default", "Unmasked"]));
    if (hostUsers && context.procMount === "Unmasked")
      errors.push(
        invalid(`${path}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`"),
      );
  }
  errors.push(...validateSeccompProfile(context.seccompProfile, `${path}.seccompProfile`));
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true)
      errors.push(
        invalid(
          path,
          goContext(context),
          "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
      );
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN") === true)
      errors.push(
        invalid(
          path,
          goContext(context),
          "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        ),
      );
  }
  errors.push(
    ...validateWindowsOptions(context.windowsOptions, `${path}.windowsOptions`),
    ...validateAppArmorProfile(appArmorOf(context), `${path}.appArmorProfile`),
  );
  return errors;
}

export function validateSeccompProfile(profile: SeccompProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const errors: FieldError[] = [];
  const { localhostProfile } = profile;
  if (!profile.type) errors.push(required(`${path}.type`, "type is required when seccompProfile is set"));
  else if (!["Localhost", "RuntimeDefault", "Unconfined"].includes(profile.type))
    errors.push(notSupported(`${path}.type`, profile.type, ["Localhost", "RuntimeDefault", "Unconfined"]));
  if (profile.type === "Localhost") {
    if (localhostProfile === undefined)
      errors.push(required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost"));
    else errors.push(...localPathErrors(localhostProfile, `${path}.localhostProfile`));
  } else if (localhostProfile !== undefined)
    errors.push(
      invalid(
        `${path}.localhostProfile`,
        {
          goSyntax: `core.SeccompProfile{Type:${JSON.stringify(profile.type ?? "")}, LocalhostProfile:${goPointer("string", localhostProfile)}}`,
        },
        "can only be set when seccomp type is Localhost",
      ),
    );
  return errors;
}

function validateAppArmorProfile(profile: AppArmorProfile | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type, localhostProfile } = profile;
  if (type === "Localhost") {
    if (localhostProfile === undefined)
      return [required(`${path}.localhostProfile`, "must be set when AppArmor type is Localhost")];
    const trimmed = localhostProfile.trim();
    if (trimmed !== localhostProfile)
      return [invalid(`${path}.localhostProfile`, localhostProfile, "must not be padded with whitespace")];
    if (trimmed === "")
      return [required(`${path}.localhostProfile`, "must be set when AppArmor type is Localhost")];
    return [];
  }
  if (type === "RuntimeDefault" || type === "Unconfined")
    return localhostProfile === undefined
      ? []
      : [
          invalid(
            `${path}.localhostProfile`,
            localhostProfile,
            "can only be set when AppArmor type is Localhost",
          ),
        ];
  if (!type) return [required(`${path}.type`, "type is required when appArmorProfile is set")];
  return [notSupported(`${path}.type`, type, ["Localhost", "RuntimeDefault", "Unconfined"])];
}

function validateWindowsOptions(
  options: WindowsSecurityContextOptions | undefined,
  path: string,
): FieldError[] {
  if (options === undefined) return [];
  const errors: FieldError[] = [];
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: spec, runAsUserName: user } = options;
  if (name !== undefined)
    errors.push(
      ...dnsSubdomainErrors(name).map((each) => invalid(`${path}.gmsaCredentialSpecName`, name, each)),
    );
  if (spec === "")
    errors.push(invalid(`${path}.gmsaCredentialSpec`, spec, "gmsaCredentialSpec cannot be an empty string"));
  else if (spec !== undefined && byteLength(spec) > 64 * 1024)
    errors.push(invalid(`${path}.gmsaCredentialSpec`, spec, "gmsaCredentialSpec size must be under 64 KiB"));
  if (user === "")
    errors.push(invalid(`${path}.runAsUserName`, user, "runAsUserName cannot be an empty string"));
  else if (user !== undefined && user.split("\\").length > 2)
    errors.push(
      invalid(`${path}.runAsUserName`, user, "runAsUserName cannot contain more than one backslash"),
    );
  return errors;
}

function idErrors(id: number | undefined, path: string): FieldError[] {
  return id !== undefined && (id < 0 || id > 2147483647) ? [invalid(path, id, idRange)] : [];
}

export function appArmorOf(
  context: PodSecurityContext | SecurityContext | undefined,
): AppArmorProfile | undefined {
  return (context as { appArmorProfile?: AppArmorProfile } | undefined)?.appArmorProfile;
}

/** What a Windows pod must not set, and a Linux pod neither. */
export function validateOsFields(spec: PodSpec, path: string): FieldError[] {
  const os = spec.os?.name;
  const errors: FieldError[] = [];
  const containers = [
    ...(spec.initContainers ?? []).map((each, index) => ({ each, at: `${path}.initContainers[${index}]` })),
    ...(spec.containers ?? []).map((each, index) => ({ each, at: `${path}.containers[${index}]` })),
  ];
  if (os === "linux") {
    const detail = "windows options cannot be set for a linux pod";
    if (spec.securityContext?.windowsOptions !== undefined)
      errors.push(forbidden(`${path}.securityContext.windowsOptions`, detail));
    for (const { each, at } of containers)
      if (each.securityContext?.windowsOptions !== undefined)
        errors.push(forbidden(`${at}.securityContext.windowsOptions`, detail));
    return errors;
  }
  if (os !== "windows") return [];
  const detail = "cannot be set for a windows pod";
  const forbid = (set: unknown, at: string): void => {
    if (set !== undefined && set !== false && set !== null) errors.push(forbidden(at, detail));
  };
  const pod = spec.securityContext;
  const at = `${path}.securityContext`;
  forbid(appArmorOf(pod), `${at}.appArmorProfile`);
  forbid(pod?.seLinuxOptions, `${at}.seLinuxOptions`);
  if (spec.hostUsers !== undefined) errors.push(forbidden(`${path}.hostUsers`, detail));
  forbid(spec.hostPID, `${path}.hostPID`);
  forbid(spec.hostIPC, `${path}.hostIPC`);
  forbid(pod?.seccompProfile, `${at}.seccompProfile`);
  forbid(pod?.fsGroup, `${at}.fsGroup`);
  forbid(pod?.fsGroupChangePolicy, `${at}.fsGroupChangePolicy`);
  if ((pod?.sysctls ?? []).length > 0) errors.push(forbidden(`${at}.sysctls`, detail));
  if (spec.shareProcessNamespace !== undefined) errors.push(forbidden(`${at}.shareProcessNamespace`, detail));
  forbid(pod?.runAsUser, `${at}.runAsUser`);
  forbid(pod?.runAsGroup, `${at}.runAsGroup`);
  if (pod?.supplementalGroups !== undefined) errors.push(forbidden(`${at}.supplementalGroups`, detail));
  for (const { each, at: container } of containers) {
    const context = each.securityContext;
    for (const field of [
      "appArmorProfile",
      "seLinuxOptions",
      "seccompProfile",
      "capabilities",
      "readOnlyRootFilesystem",
      "privileged",
      "allowPrivilegeEscalation",
      "procMount",
      "runAsUser",
      "runAsGroup",
    ])
      if ((context as Record<string, unknown> | undefined)?.[field] !== undefined)
        errors.push(forbidden(`${container}.securityContext.${field}`, detail));
  }
  return errors;
}

function goContext(context: SecurityContext): { goSyntax: string } {
  const fields: [string, string, unknown][] = [
    ["Capabilities", "core.Capabilities", context.capabilities],
    ["Privileged", "bool", context.privileged],
    ["SELinuxOptions", "core.SELinuxOptions", context.seLinuxOptions],
    ["WindowsOptions", "core.WindowsSecurityContextOptions", context.windowsOptions],
    ["RunAsUser", "int64", context.runAsUser],
    ["RunAsGroup", "int64", context.runAsGroup],
    ["RunAsNonRoot", "bool", context.runAsNonRoot],
    ["ReadOnlyRootFilesystem", "bool", context.readOnlyRootFilesystem],
    ["AllowPrivilegeEscalation", "bool", context.allowPrivilegeEscalation],
    ["ProcMount", "core.ProcMountType", context.procMount],
    ["SeccompProfile", "core.SeccompProfile", context.seccompProfile],
    ["AppArmorProfile", "core.AppArmorProfile", appArmorOf(context)],
  ];
  return {
    goSyntax: `core.SecurityContext{${fields.map(([name, type, value]) => `${name}:${goPointer(type, value)}`).join(", ")}}`,
  };
}
