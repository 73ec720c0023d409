// Thread: main
// What the code of a process tried and was not granted, by Deno's own record of the permissions it was asked for: a
// plugin may catch the error, and say nothing.
import { resolve } from "@std/path/posix/resolve";
import type { Fd } from "../sys/fd.ts";
import { readableOf } from "../sys/fd_stream.ts";
import { eachLine } from "../sys/text_lines.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import { attemptOf, type Attempts } from "./attempts.ts";
import { AUDIT_VARIABLE } from "./closing.ts";
import { covers } from "./grants.ts";

/** Characters of a line of the record; Linux has no longer paths. */
const LONGEST = 16 * 1024;
/** What the core itself loads in every process of ours. */
const OUR_LIBRARY = "libc.so.6";

/** The variable that has Deno write its record to a file, or to the pipe with this number. */
export function auditVariable(fd: number): Record<string, string> {
  return { [AUDIT_VARIABLE]: `/proc/self/fd/${fd}` };
}

/** What a process was granted. */
export interface Granted {
  readonly granted: PermissionSet;
  /** Where the manifest grants it: "devices[1].permissions"; absent where it is not known whose code it was. */
  readonly field?: string;
}

/** Reads a record until the process has ended, and tells each attempt that `granted` does not cover: "read of …". */
export async function listenToAudit(
  pipe: Fd,
  { granted, field }: Granted,
  attempts: Attempts,
): Promise<void> {
  const onLine = (line: string) => {
    const attempt = refusedAttempt(line, granted, field);
    if (attempt !== null) attempts.tell(attempt);
  };
  await eachLine(readableOf(pipe), onLine, LONGEST);
}

/** The attempt of a line of the record; null for one that is granted. */
export function refusedAttempt(
  line: string,
  granted: PermissionSet,
  field?: string,
): string | null {
  let entry: { readonly permission?: unknown; readonly value?: unknown } | null;
  try {
    entry = JSON.parse(line);
  } catch {
    return "tried something that is too long to be told";
  }
  const { permission, value } = entry ?? {};
  if (typeof permission !== "string") return null;
  const isPath = permission === "read" || permission === "write";
  const text = typeof value === "string" ? value : null;
  // Deno tells paths as they were asked for, from the folder where the process is, which is ours.
  const asked = isPath && text !== null ? resolve(text) : text;
  // A fetch asks for its URL, then for the host and port, which grants name.
  if (permission === "net" && asked?.includes("://")) return null;
  if (permission === "ffi") {
    // Pointers have no value, and are the core's own business.
    return asked === null || asked === OUR_LIBRARY ? null : tell("ffi", asked);
  }
  const grants = granted[permission as keyof PermissionSet] ?? [];
  const isGranted = asked === null
    ? grants.length > 0
    : grants.some((grant) =>
      covers(permission as keyof PermissionSet, grant, asked)
    );
  if (isGranted) return null;
  const attempt = tell(permission, asked);
  // What has no list in a manifest no device gets.
  return field === undefined || !Object.hasOwn(granted, permission)
    ? attempt
    : `${attempt}; to allow it, add it to ${field}.${permission}`;
}

function tell(permission: string, value: string | null): string {
  return attemptOf(permission, value === null ? null : JSON.stringify(value));
}
