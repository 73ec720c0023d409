// Thread: main
// How `paddock run` ends: its exit status, and the line that says why.
import type { ExitReason, VmExit } from "../vm.ts";
import { printNote } from "./output.ts";

/** Exit statuses, as `--help` lists them. */
const STATUS: Readonly<Record<ExitReason, number>> = {
  "poweroff": 0,
  "stopped": 0,
  "failure": 1,
  "reboot": 3,
  "triple-fault": 4,
  "internal-error": 5,
  "panic": 6,
  "killed": 1,
};
/** In place of 0 where a device never was there: a test that it was for has tested nothing. */
const ABSENT_STATUS = 7;

/** What the user may do about an end that is not the guest's wish. */
const HINT: Partial<Record<ExitReason, string>> = {
  "internal-error":
    "this host's KVM cannot run the guest; see `paddock doctor`",
  "triple-fault": "the guest's kernel broke down before it could say why",
};

/** A machine's end, and its devices that could not start. */
export interface Ending extends VmExit {
  readonly absent: readonly string[];
}

export function statusOf({ reason, absent }: Ending): number {
  const status = STATUS[reason];
  return status === 0 && absent.length > 0 ? ABSENT_STATUS : status;
}

/** Prints one line, or with `json` one event. */
export function report({ absent, ...exit }: Ending, json: boolean): void {
  if (json) {
    const devices = absent.length > 0 ? { absent } : {};
    return printNote(JSON.stringify({ event: "exit", ...exit, ...devices }));
  }
  const { detail, reason } = exit;
  const missing = absent.length > 0
    ? `${absent.join(", ")} could not start`
    : undefined;
  printNote(
    `paddock: ${
      [detail, HINT[reason], missing].filter((part) => part !== undefined)
        .join("; ")
    }`,
  );
}
