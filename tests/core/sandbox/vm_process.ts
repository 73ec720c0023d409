// A VM in a process that closes itself first.

import { closeProcess } from "../../../core/sandbox/closing.ts";

closeProcess();
const { Vm } = await import("../../../core/vm.ts");
await using vm = await Vm.start(Deno.args[0]!, { sandbox: "off" });
for await (const bytes of vm.console!.readable) Deno.stdout.writeSync(bytes);
const { reason } = await vm.wait();
Deno.stdout.writeSync(new TextEncoder().encode(reason));
