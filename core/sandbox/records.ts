// Thread: main
// How a child tells what it was refused: by Deno's record of the permissions it asked for, and by the kernel's questions.
import { log } from "../log.ts";
import type { Fd } from "../sys/fd.ts";
import { SIGKILL } from "../sys/linux.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import { Attempts } from "./attempts.ts";
import { type Granted, listenToAudit } from "./audit.ts";
import { type Child, pipe } from "./child.ts";
import { DENO_TRIES } from "./deno_rights.ts";
import type { LandlockRules } from "./landlock.ts";
import { Refusals } from "./refusals.ts";

/** What a process was granted, and who hears of the rest. */
export interface Audit extends Granted {
  readonly onRefused: (attempt: string) => void;
  /** Where seccomp tells of paths: it has loaded what it needs, and they are looked at from then on. */
  readonly loaded?: Promise<void>;
}

/** One side of what is between a child and us. */
export interface Records {
  readonly record: Fd;
  /** Null where the child does not close itself by seccomp. */
  readonly report: UnixSocket | null;
}

/** Opens both sides; the stacks get what is to be closed. */
export function openRecords(
  closesItself: boolean,
  theirs: DisposableStack,
  ours: DisposableStack,
): { readonly ours: Records; readonly theirs: Records } {
  const record = pipe();
  const [mine, its] = closesItself ? UnixSocket.pair() : [null, null];
  const side = (
    record: Fd,
    report: UnixSocket | null,
    stack: DisposableStack,
  ) => {
    stack.use(record);
    stack.use(report);
    return { record, report };
  };
  return {
    ours: side(record.read, mine, ours),
    theirs: side(record.write, its, theirs),
  };
}

/** Listens until the process has ended, and owns our side. */
export function hear(
  { record, report }: Records,
  child: Child,
  audit: Audit,
  rulesOf: () => LandlockRules,
): void {
  const { onRefused, loaded = Promise.resolve() } = audit;
  const attempts = new Attempts(onRefused);
  // They end with the process, as what that prints does.
  listenToAudit(record, audit, attempts).catch(() => {});
  if (report === null) return;
  const untold = () => {
    const rules = rulesOf();
    return { ...rules, read: [...rules.read, ...DENO_TRIES] };
  };
  const refusals = new Refusals(child, untold, attempts);
  loaded.then(() => refusals.lookAtPaths = true);
  refusals.answerAll(report).catch((error) => {
    // One that is not answered would wait for ever.
    log("error", "sandbox", `process ${child.pid} is ended: ${error}`);
    child.kill(SIGKILL);
  });
}
