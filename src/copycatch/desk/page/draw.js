"use strict";
// Whatever comes from a log is put in as text, never as markup.
let data = null;
const byId = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (name) node.className = name;
  return node;
};
const add = (parent, ...nodes) => { parent.append(...nodes); return parent; };
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const when = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ") + "Z";
const count = (n) => n.toLocaleString("en");
const short = (text, n) => { const chars = [...String(text)]; return chars.length > n ? chars.slice(0, n - 1).join("") + "…" : chars.join(""); };
// Plotly reads a few tags in labels: what is not ours is given without any.
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const wrapped = (text) => safe(text).replace(/(.{1,60})(\s|$)/g, "$1<br>");
const surprise = (chance) => -Math.log10(Math.max(chance, 1e-12));
const isNarrow = () => document.documentElement.clientWidth < 640;
const severities = ["low", "medium", "high", "critical"];
const shades = () => ({ low: color("--line"), medium: color("--calm"), high: color("--warm"), critical: color("--mark") });

function layout(more) {
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), fixedrange: isNarrow(), automargin: true };
  const axes = Object.fromEntries(["xaxis", "yaxis", "yaxis2"].filter((name) => name !== "yaxis2" || more[name])
    .map((name) => [name, { ...axis, ...more[name] }]));
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: color("--ink"), size: isNarrow() ? 11 : 12 },
    margin: { l: 50, r: 12, t: 10, b: 42 }, showlegend: false, hoverlabel: { align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, ...more, ...axes,
  };
}
// On paper a plot is told its size: by itself it would only follow once the page is printed.
const plot = (id, traces, more) => {
  const node = byId(id), isPaper = document.documentElement.classList.contains("paper");
  const size = isPaper ? { width: node.clientWidth, height: node.clientHeight } : { autosize: true };
  return Plotly.react(node, traces, { ...layout(more), ...size }, { responsive: true, displaylogo: false, displayModeBar: false });
};
const dotted = (more) => ({ type: "line", line: { color: color("--ink"), dash: "dot", width: 1.5 }, ...more });

function table(allHeads, allRows, name) {
  const used = allHeads.map((_, i) => !allRows.length || allRows.some((row) => row[i] !== null && row[i] !== undefined && row[i] !== ""));
  const head = allHeads.filter((_, i) => used[i]), rows = allRows.map((row) => row.filter((_, i) => used[i]));
  const t = make("table", undefined, name);
  const isNumber = rows.length ? rows[0].map((value) => typeof value === "number") : [];
  add(t.createTHead().insertRow(), ...head.map((text, i) => make("th", text, isNumber[i] ? "number" : "")));
  const body = t.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.dataset.label = head[i];
      if (value instanceof Node) cell.append(value);
      else cell.textContent = typeof value === "number" ? count(value) : value ?? "";
      if (typeof value === "number") cell.className = "number";
      else if (typeof value === "string" && value.length < 15) cell.className = "tight";
      else if (typeof value === "string" && /^\d{4}-\d\d-\d\d \d\d:\d\dZ$/.test(value)) cell.className = "time";
    });
  }
  return add(make("div", undefined, "wide"), t);
}
// Names and values side by side; those without a value are left out.
const facts = (place, pairs) => place.replaceChildren(...pairs.filter(([, value]) => value !== null && value !== undefined)
  .map(([name, value]) => add(make("div"), make("dt", name), value instanceof Node ? add(make("dd"), value) : make("dd", value))));

function recommended(each) {
  if (!each.action) return "nothing";
  if (each.is_revoked) return `${each.action}, revoked`;
  return each.action + (each.is_shadow ? " (shadow)" : "") + (each.until ? ` until ${when(Date.parse(each.until)).slice(5)}` : "");
}

function drawAlerts() {
  const opened = data.alerts.filter((alert) => alert.op !== "close"), shade = shades();
  plot("alerts-plot", severities.map((severity) => ({
    type: "histogram", name: severity, marker: { color: shade[severity] }, nbinsx: isNarrow() ? 24 : 48,
    x: opened.filter((alert) => alert.severity === severity).map((alert) => when(alert.ms)),
  })).filter((trace) => trace.x.length), { barmode: "stack", bargap: .05, showlegend: opened.length > 0, margin: { l: 50, r: 12, t: 24, b: 42 },
    yaxis: { title: { text: "alerts" }, rangemode: "tozero" } });
}

function drawBudget() {
  const budget = 10 ** Number(byId("budget").value);
  const named = data.accounts.filter((account) => account.budget <= budget);
  byId("budget-out").textContent = `${budget.toPrecision(2)} alerts per 1,000 normal accounts and day`;
  byId("budget-says").textContent =
    `${named.length} of ${data.accounts.length} accounts shown would be alerted on by their score` +
    (budget < 0.5 || budget > 5 ? "; calibration is measured from .5 to 5 only" : "");
  const threshold = surprise(data.about.threshold * budget / data.about.budget);
  plot("scores-plot", [false, true].map((isNamed) => data.accounts.filter((each) => (each.budget <= budget) === isNamed))
    .map((accounts, i) => ({
      type: "scatter", mode: "markers", x: accounts.map((each) => each.queries), y: accounts.map((each) => surprise(each.tail)),
      text: accounts.map((each) => `${safe(short(each.id, 40))} on ${safe(short(each.model, 40))}<br>mostly ${safe(each.mostly)}`), hoverinfo: "text",
      marker: { color: i ? color("--mark") : color("--calm"), size: i ? 9 : 6, symbol: i ? "diamond" : "circle", opacity: i ? 1 : .7 },
    })), {
    xaxis: { type: "log", dtick: "D2", title: { text: "queries" } }, yaxis: { title: { text: "surprise" }, rangemode: "tozero" },
    shapes: [dotted({ xref: "paper", x0: 0, x1: 1, y0: threshold, y1: threshold })],
  });
  const budgets = data.accounts.map((account) => account.budget).filter((each) => each <= 100).sort((a, b) => a - b);
  plot("curve-plot", [{ type: "scatter", mode: "lines", x: budgets.map((each) => Math.max(each, .01)), y: budgets.map((_, i) => i + 1),
    line: { shape: "hv", color: color("--calm") }, hovertemplate: "budget %{x:.2g}: %{y} accounts<extra></extra>" }], {
    xaxis: { type: "log", range: [-2, 2], tickvals: [.01, .1, .5, 1, 2, 5, 10, 100], ticktext: [".01", ".1", ".5", "1", "2", "5", "10", "100"],
      title: { text: "budget: alerts per 1,000 accounts and day" } },
    yaxis: { title: { text: "accounts" }, rangemode: "tozero" },
    shapes: [dotted({ yref: "paper", y0: 0, y1: 1, x0: budget, x1: budget }),
      { type: "rect", yref: "paper", y0: 0, y1: 1, x0: .5, x1: 5, fillcolor: color("--line"), opacity: .35, line: { width: 0 }, layer: "below" }],
  });
}

function drawCalibration() {
  const { chances, all, not_alerted: quiet, account_days: days, scored } = data.calibration;
  const line = (name, y, shade, dash) => ({ type: "scatter", mode: "lines", name, x: chances, y, line: { color: shade, dash },
    hovertemplate: "chance %{x:.2g}: %{y:.2g} of the account-days<extra></extra>" });
  byId("calibration-plot").hidden = !all.length;
  if (all.length) {
    plot("calibration-plot", [line("promised", chances, color("--ink"), "dot"), line("all accounts", all, color("--mark")),
      line("without alerted ones", quiet, color("--calm"))], {
      showlegend: true, margin: { l: 55, r: 12, t: 24, b: 42 },
      xaxis: { type: "log", dtick: 1, exponentformat: "power", autorange: "reversed", title: { text: "chance a day" } },
      yaxis: { type: "log", dtick: 1, exponentformat: "power", title: { text: "share of account-days" }, range: [-5, 0.1] },
    });
  }
  const parts = [make("p", `${count(days)} account-days were evaluated, ${count(scored)} of them with a score.` +
    (data.about.n_left_out ? ` ${count(data.about.n_left_out)} less anomalous accounts are not drawn.` : ""), "faint")];
  if (data.about.curve) {
    const curve = Object.entries(data.about.curve).sort((a, b) => a[0] - b[0]);
    parts.push(table(["at a budget of", ...curve.map(([budget]) => budget)], [["accounts that the score alerts on", ...curve.map(([, n]) => n)]]));
  }
  byId("calibration").replaceChildren(...parts);
  byId("models").replaceChildren(table(["model", "accounts", "evaluations", "scored", "first evaluated", "scored since"],
    data.models.map((each) => [each.id, each.accounts, each.evaluations, each.scored, when(each.first_ms),
      each.first_scored_ms === null ? "not yet: limits only" : when(each.first_scored_ms)]), "cards"));
}

function caseLink(i) {
  const each = data.cases[i];
  const link = make("a", each.kind === "account" ? each.id : `${each.kind} ${each.id}`);
  link.href = hashOf(each);
  return link;
}
const hashOf = (each) => "#" + [each.kind, each.tenant ?? "", each.id, each.model].map(encodeURIComponent).join("/");

function drawOverview() {
  const about = data.about, n = (test) => data.cases.filter(test).length;
  byId("about").textContent = (about.is_live
    ? `live, since ${about.since}; as of ${about.made}`
    : `${about.files.join(", ")}: ${count(about.records)} records; made ${about.made}`) +
    `; policy ${about.policy_version}, mode ${about.mode}; copycatch ${about.version}`;
  byId("unjudged").replaceChildren(...about.unjudged.map((sentence) => make("p", sentence, "warning")));
  facts(byId("tiles"), [
    ["cases", count(data.cases.length)], ["open", count(n((each) => each.is_open))],
    ["high or critical", count(n((each) => each.worst === "high" || each.worst === "critical"))],
    ["campaigns", count(n((each) => each.kind === "campaign"))], ["account-days", count(data.calibration.account_days)],
    ["budget per 1,000", about.budget === null ? null : `${about.budget} a day`], ["records", about.records === null ? null : count(about.records)],
  ]);
  drawAlerts();
  drawBudget();
  drawCalibration();
  const rows = data.cases.map((each, i) => [make("span", each.worst, each.worst), caseLink(i), data.models.length > 1 ? each.model : "", each.is_open ? "open" : "closed",
    each.queries, when(each.first_ms), recommended(each), each.reason, each.verdict]);
  byId("cases").replaceChildren(rows.length
    ? table(["", "who", "model", "state", "queries", "since", "recommended", "what weighs most", "verdict"], rows, "cards cases")
    : make("p", "Nobody was alerted on. That is an all-clear only where nothing stands above that was not judged."),
  ...about.left_out.map((sentence) => make("p", sentence, "faint")));
}
