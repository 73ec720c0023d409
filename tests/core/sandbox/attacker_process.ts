// A closed process gone bad: tries every attack and prints what came of each, as JSON.

import { closeProcess } from "../../../core/sandbox/closing.ts";
import { attack, type Targets } from "./attacks.ts";

// "open": seccomp is left out, so that what started this process is seen alone.
const [targets, close] = Deno.args;
if (close !== "open") closeProcess();
const results = attack(JSON.parse(targets!) as Targets);
Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(results)));
