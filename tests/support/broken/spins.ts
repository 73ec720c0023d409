// Does not come back from a request before its driver has long given up.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq() {
        for (const end = performance.now() + 8000; performance.now() < end;);
        return 0;
      },
    },
  }),
});
