import { runGuest } from "./guest.ts";
const t=performance.now();
const r = await runGuest("echo go; reboot -f", { timeout: 40, cmdline: "console=ttyS0 loglevel=8 ", during: async (vm)=>{ const id=setInterval(()=>console.log(Math.round(performance.now()-t), vm.statistics),4000); vm.wait().then(()=>clearInterval(id)); await Promise.resolve(); } });
console.log(r.exit, performance.now()-t); console.log(r.text.slice(-800));
