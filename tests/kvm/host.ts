// Says whether this host can run the tests of small guests, and skips them where it cannot.

let reason: string | null | undefined;

/** Null where /dev/kvm can be opened, else one line that says why not. */
export function whyNoKvm(): string | null {
  if (reason === undefined) {
    try {
      Deno.openSync("/dev/kvm", { read: true, write: true }).close();
      reason = null;
    } catch (error) {
      reason = error instanceof Deno.errors.NotFound
        ? "there is no /dev/kvm"
        : `/dev/kvm cannot be opened: ${error}`;
    }
  }
  return reason;
}

/** A test that needs /dev/kvm. */
export function kvmTest(name: string, fn: () => void | Promise<void>): void {
  const why = whyNoKvm();
  if (why === null) Deno.test(name, fn);
  else Deno.test.ignore(`${name} (skipped: ${why})`, fn);
}
