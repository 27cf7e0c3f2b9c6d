import { CoreSimulation } from "./core-simulation.ts";
const seed = Number(process.argv[2]);
const n = Number(process.argv[3] ?? 40);
const lines: string[] = [];
const s = new CoreSimulation(seed, { trace: (l) => lines.push(l) });
try {
  console.log(s.run());
} catch (e) {
  console.log(String(e));
}
console.log(
  lines
    .filter((l) => !/ignored/.test(l))
    .slice(-n)
    .join("\n"),
);
for (const m of s.machines.values()) {
  const st = m.node?.status();
  console.log(
    m.id,
    m.isRunning,
    m.isPaused,
    "disk",
    m.disk.firstIndex(),
    m.disk.lastIndex(),
    "applied",
    m.state.index,
    "ck",
    m.checkpoint.index,
    st && JSON.stringify({ ...st, progress: [...st.progress] }),
  );
}
