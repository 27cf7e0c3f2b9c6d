/**
 * The query parameters of writes (CreateOptions, UpdateOptions, PatchOptions) and DeleteOptions, read
 * and validated with upstream's texts (k8s.io/apimachinery, meta/v1/validation).
 */
import type { HttpRequest } from "#base/http.ts";
import { invalid, invalidError, forbidden, notSupported, required, tooLong } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import { badRequest } from "../status.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

export interface WriteOptions {
  dryRun: boolean;
  /** As given; "" when not. */
  fieldManager: string;
  fieldValidation: FieldValidation;
  force: boolean | undefined;
  fenceTerm: number | undefined;
}

export type WriteOptionsKind = "CreateOptions" | "UpdateOptions" | "PatchOptions";

export function readWriteOptions(
  kind: WriteOptionsKind,
  http: HttpRequest,
  query: URLSearchParams,
  isApplyPatch = false,
): WriteOptions {
  const errors: FieldError[] = [];
  const force = query.get("force");
  if (kind === "PatchOptions") {
    if (isApplyPatch) {
      if ((query.get("fieldManager") ?? "") === "") {
        errors.push(required("fieldManager", "is required for apply patch"));
      }
    } else if (force !== null) {
      errors.push(forbidden("force", "may not be specified for non-apply patch"));
    }
  }
  errors.push(...checkDryRun(query.getAll("dryRun")));
  const fieldManager = query.get("fieldManager") ?? "";
  errors.push(...checkFieldManager(fieldManager));
  const fieldValidation = query.get("fieldValidation") ?? "";
  const known = ["", "Ignore", "Strict", "Warn"];
  if (!known.includes(fieldValidation)) {
    errors.push(notSupported("fieldValidation", fieldValidation, known));
  }
  if (errors.length > 0) throw invalidError({ group: "meta.k8s.io", kind, name: "" }, errors);
  return {
    dryRun: query.getAll("dryRun").length > 0,
    fieldManager,
    fieldValidation: fieldValidation === "" ? "Warn" : (fieldValidation as FieldValidation),
    force: force === null ? undefined : force !== "false" && force !== "0",
    fenceTerm: readFenceTerm(http),
  };
}

/** The leader's term that a control loop puts on its writes; see `Transaction.fenceTerm`. */
export function readFenceTerm(http: HttpRequest): number | undefined {
  const header = http.headers["trivet-fence-term"];
  if (header === undefined) return undefined;
  const term = Number(header);
  if (!Number.isSafeInteger(term) || term < 0) throw badRequest("Trivet-Fence-Term must be a term's number");
  return term;
}

function checkDryRun(values: readonly string[]): FieldError[] {
  const wrong = values.filter((each) => each !== "All");
  if (wrong.length === 0) return [];
  const list = values.map((each) => JSON.stringify(each)).join(", ");
  return [
    {
      reason: "FieldValueNotSupported",
      field: "dryRun",
      message: `Unsupported value: []string{${list}}: supported values: "All"`,
    },
  ];
}

function checkFieldManager(manager: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(manager) > 128) errors.push(tooLong("fieldManager", 128));
  let position = 0;
  for (const char of manager) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
      errors.push({
        ...invalid("fieldManager", "", ""),
        message:
          `Invalid value: ${goQuote(manager)}: should not contain non-printable character U+${code.toString(16).toUpperCase().padStart(4, "0")} (at position ${position})`.replace(
            "should not contain non-printable character",
            "invalid character",
          ),
      });
    }
    position++;
  }
  return errors;
}

function goQuote(text: string): string {
  return JSON.stringify(text).replace(/\\u00([0-9a-f]{2})/g, "\\x$1");
}

/** Who owns the written fields: the given manager, or the program that wrote. */
export function managerOf(options: WriteOptions, http: HttpRequest): string {
  if (options.fieldManager !== "") return options.fieldManager;
  const agent = (http.headers["user-agent"] ?? "").split("/")[0] ?? "";
  // oxlint-disable-next-line no-control-regex -- what upstream drops
  const printable = agent.replace(/[\u0000-\u001f\u007f-\u009f]/g, "");
  return printable === "" ? "unknown" : printable.slice(0, 128);
}

export interface DeleteOptions {
  gracePeriodSeconds: number | undefined;
  preconditions: { uid?: string; resourceVersion?: string } | undefined;
  orphanDependents: boolean | undefined;
  propagationPolicy: "Orphan" | "Background" | "Foreground" | undefined;
  dryRun: boolean;
  fenceTerm: number | undefined;
}

/** From the body if there is one, else from the query. `body` is already decoded. */
export function readDeleteOptions(
  http: HttpRequest,
  query: URLSearchParams,
  body: Record<string, unknown> | undefined,
): DeleteOptions {
  const raw = body ?? optionsFromQuery(query);
  const errors: FieldError[] = [];
  const policy = raw["propagationPolicy"];
  if (raw["orphanDependents"] !== undefined && policy !== undefined) {
    errors.push(
      invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"),
    );
  }
  if (policy !== undefined && policy !== "Foreground" && policy !== "Background" && policy !== "Orphan") {
    errors.push({
      reason: "FieldValueNotSupported",
      field: "propagationPolicy",
      message: `Unsupported value: ${JSON.stringify(policy)}: supported values: "Foreground", "Background", "Orphan", "nil"`,
    });
  }
  const dryRun = (raw["dryRun"] as string[] | undefined) ?? [];
  errors.push(...checkDryRun(dryRun));
  if (errors.length > 0) {
    throw invalidError({ group: "meta.k8s.io", kind: "DeleteOptions", name: "" }, errors);
  }
  return {
    gracePeriodSeconds: raw["gracePeriodSeconds"] as number | undefined,
    preconditions: raw["preconditions"] as DeleteOptions["preconditions"],
    orphanDependents: raw["orphanDependents"] as boolean | undefined,
    propagationPolicy: policy as DeleteOptions["propagationPolicy"],
    dryRun: dryRun.length > 0,
    fenceTerm: readFenceTerm(http),
  };
}

function optionsFromQuery(query: URLSearchParams): Record<string, unknown> {
  const grace = query.get("gracePeriodSeconds");
  const policy = query.get("propagationPolicy");
  const orphan = query.get("orphanDependents");
  const dryRun = query.getAll("dryRun");
  return {
    ...(grace === null ? {} : { gracePeriodSeconds: parseInteger(grace) }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(orphan === null ? {} : { orphanDependents: orphan !== "false" && orphan !== "0" }),
    ...(dryRun.length === 0 ? {} : { dryRun }),
  };
}

/** An integer parameter, with Go's error text. */
export function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}
