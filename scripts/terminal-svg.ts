/**
 * Renders the transcript of a terminal as an SVG picture: `node scripts/terminal-svg.ts TITLE < transcript > picture.svg`.
 * Lines that begin with "$ " are what was typed, lines that begin with "# " are remarks; the rest was printed.
 */
import { readFileSync } from "node:fs";

const fontSizePx = 14;
const lineHeightPx = 20;
/** Of the widest common monospace fonts, so that no line is cut. */
const characterWidthPx = 8.43;
const marginPx = 18;
const barHeightPx = 34;
const colours = {
  background: "#14171c",
  bar: "#20252d",
  text: "#d4d7dd",
  prompt: "#6cc08b",
  typed: "#ffffff",
  remark: "#8a93a2",
};

const title = process.argv[2] ?? "trivet";
const lines = readFileSync(0, "utf8").trimEnd().split("\n");
process.stdout.write(render(title, lines));

function render(heading: string, transcript: string[]): string {
  const columns = Math.max(60, ...transcript.map((line) => line.length));
  const width = Math.ceil(columns * characterWidthPx + 2 * marginPx);
  const height = barHeightPx + 2 * marginPx + transcript.length * lineHeightPx;
  const dots = ["#ff5f57", "#febc2e", "#28c840"].map(
    (colour, index) => `<circle cx="${20 + index * 20}" cy="${barHeightPx / 2}" r="6" fill="${colour}"/>`,
  );
  const rows = transcript.map((line, index) => {
    const y = barHeightPx + marginPx + index * lineHeightPx + fontSizePx;
    return `<text x="${marginPx}" y="${y}" xml:space="preserve">${row(line)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(heading)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${colours.background}"/>`,
    `<path d="M0 ${barHeightPx}V8a8 8 0 0 1 8-8h${width - 16}a8 8 0 0 1 8 8v${barHeightPx - 8}z" fill="${colours.bar}"/>`,
    ...dots,
    `<g font-family="ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${fontSizePx}" fill="${colours.text}">`,
    `<text x="${width / 2}" y="${barHeightPx / 2 + 5}" text-anchor="middle" fill="${colours.remark}">${escape(heading)}</text>`,
    ...rows,
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

function row(line: string): string {
  if (line.startsWith("$ "))
    return `<tspan fill="${colours.prompt}">$ </tspan><tspan fill="${colours.typed}">${escape(line.slice(2))}</tspan>`;
  if (line.startsWith("# ")) return `<tspan fill="${colours.remark}">${escape(line)}</tspan>`;
  return escape(line);
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
