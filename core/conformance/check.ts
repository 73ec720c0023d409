// Thread: main
// A check of the conformance kit: what it is called, what the contract asks, and what came of it.
import type { PermissionName } from "../plugin.ts";
import type { Bench } from "./bench.ts";

/** What came of one check; plain data. */
export interface Check {
  readonly name: string;
  /** Who asks for it: "virtio-v1.3 §2.7.8.2", or a part of plugins/API.md. */
  readonly section: string;
  readonly ok: boolean;
  /** What happened, with the plugin's file and line where it threw; or, where all is well, a remark or "". */
  readonly detail: string;
  /** What the contract asks of the device, in a sentence. */
  readonly asks: string;
}

/** What came of all checks. */
export interface Report {
  readonly checks: readonly Check[];
  readonly passed: number;
  readonly failed: number;
  /** Names of the checks that were not run, and why. */
  readonly notRun: readonly string[];
  readonly stopped: string | null;
}

/** A check that is still to be run. */
export interface PlannedCheck {
  readonly name: string;
  readonly section: string;
  readonly asks: string;
  /** Throws a Finding when the device fails it; resolves to a remark otherwise. */
  run(bench: Bench): Promise<string | void>;
}

/** The device did not do what the contract asks; the message says what it did. */
export class Finding extends Error {
  override readonly name = "Finding";
}

/** What Deno refused a device. */
export interface Refusal {
  readonly permission: PermissionName;
  /** Null where Deno does not say. */
  readonly value: string | null;
}

/** What Deno refused, by the words of its error in a check's detail. */
export function refusalIn(detail: string): Refusal | null {
  const found =
    /Requires (read|write|net|env|run|import) access(?: to "(.*?)"(?=[,;.]| at |$))?/m
      .exec(detail);
  if (found === null) return null;
  const [, permission, value = null] = found;
  return { permission: permission as PermissionName, value };
}

/** 'read of "/etc/hosts"'. */
export function refusedText({ permission, value }: Refusal): string {
  return value === null ? permission : `${permission} of "${value}"`;
}

/** "virtio-v1.3 §2.5.2". */
export const virtio = (section: string): string => `virtio-v1.3 §${section}`;

/** "plugins/API.md, DeviceContext". */
export const api = (part: string): string => `plugins/API.md, ${part}`;

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** "1 byte", "2 bytes". */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
