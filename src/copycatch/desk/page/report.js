"use strict";
// Whatever comes from a log is put in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
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
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function layout(more) {
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--line") };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: color("--ink") },
    margin: { l: 60, r: 15, t: 10, b: 45 }, showlegend: false,
    ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
  };
}
const plot = (id, traces, more) =>
  Plotly.react(id, traces, layout(more), { responsive: true, displaylogo: false, displayModeBar: false });

function table(head, rows) {
  const t = make("table");
  const isNumber = (value) => typeof value === "number";
  add(t.createTHead().insertRow(), ...head.map((text) => make("th", text)));
  const body = t.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      if (value instanceof Node) cell.append(value);
      else { cell.textContent = isNumber(value) ? value.toLocaleString("en") : value ?? ""; }
      if (isNumber(value)) cell.className = "number";
    }
  }
  return add(make("div", undefined, "wide"), t);
}

function drawAlerts() {
  const kinds = ["low", "medium", "high", "critical"];
  const shades = [color("--line"), color("--calm"), "#e08e45", color("--mark")];
  const opened = data.alerts.filter((alert) => alert.op !== "close");
  plot("alerts-plot", kinds.map((severity, i) => ({
    type: "histogram", name: severity, marker: { color: shades[i] },
    x: opened.filter((alert) => alert.severity === severity).map((alert) => when(alert.ms)),
  })), { barmode: "stack", showlegend: true, yaxis: { title: { text: "alerts" } } });
}

function drawBudget() {
  const budget = 10 ** Number(byId("budget").value);
  const named = data.accounts.filter((account) => account.budget <= budget);
  byId("budget-out").textContent = `${budget.toPrecision(2)} alerts per 1,000 normal accounts and day`;
  byId("budget-says").textContent =
    `${named.length} of ${data.accounts.length} accounts shown would be alerted on` +
    (budget < 0.5 || budget > 5 ? "; calibration is measured from .5 to 5 only" : "");
  const level = (account) => -Math.log10(Math.max(account.tail, 1e-12));
  plot("scores-plot", [{
    type: "scatter", mode: "markers", x: data.accounts.map((account) => account.queries), y: data.accounts.map(level),
    text: data.accounts.map((account) => safe(`${account.id} on ${account.model}`)), hoverinfo: "text",
    marker: { color: data.accounts.map((a) => a.budget <= budget ? color("--mark") : color("--calm")), size: 7 },
  }], {
    xaxis: { type: "log", title: { text: "queries" } },
    yaxis: { title: { text: "surprise (-log10 of the chance a day)" } },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: -Math.log10(data.about.threshold * budget / data.about.budget),
      y1: -Math.log10(data.about.threshold * budget / data.about.budget), line: { color: color("--ink"), dash: "dot" } }],
  });
  const budgets = data.accounts.map((account) => account.budget).sort((a, b) => a - b);
  plot("curve-plot", [{ type: "scatter", mode: "lines", x: budgets, y: budgets.map((_, i) => i + 1),
    line: { shape: "hv", color: color("--calm") } }], {
    xaxis: { type: "log", title: { text: "budget: alerts per 1,000 accounts and day" } },
    yaxis: { title: { text: "accounts alerted on" } },
    shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: budget, x1: budget, line: { color: color("--ink"), dash: "dot" } }],
  });
}

function drawOverview() {
  const about = data.about;
  byId("about").textContent =
    `${about.files.join(", ")}: ${about.records.toLocaleString("en")} records, ${data.cases.length} cases; ` +
    `policy ${about.policy_version}, mode ${about.mode}; made ${about.made} by copycatch ${about.version}`;
  for (const sentence of about.unjudged) add(byId("unjudged"), make("p", sentence, "warning"));
  drawAlerts();
  byId("budget").value = Math.log10(about.budget);
  byId("budget").addEventListener("input", drawBudget);
  drawBudget();
  add(byId("cases"), table(
    ["", "who", "model", "queries", "since", "recommended", "what weighs most", "verdict"],
    data.cases.map((each, i) => {
      const link = make("a", each.kind === "account" ? each.id : `${each.kind} ${each.id}`);
      link.href = `#case-${i}`;
      return [make("span", each.worst, each.worst), link, each.model, each.queries, when(each.first_ms),
        each.action ?? "nothing", each.reason, each.verdict];
    })));
  add(byId("calibration"), table(
    ["budget", "accounts alerted on"], Object.entries(about.curve).map(([budget, n]) => [budget, n])),
  make("p", `${about.account_days.toLocaleString("en")} account-days were evaluated. ${about.warm_up}`, "faint"));
}

function sampleNode(sample) {
  const times = sample.times > 1 ? ` (asked ${sample.times} times)` : "";
  const label = sample.label === null ? "" : ` → ${sample.label}`;
  const quote = make("blockquote");
  if (sample.text !== null) quote.textContent = sample.text + label + times;
  else quote.textContent = `${sample.distance.toFixed(1)} deviations from the usual: ` +
    sample.deviations.map(([column, value]) => `[${column}] ${value > 0 ? "+" : ""}${value.toFixed(1)}`).join(", ") +
    label + times;
  quote.title = sample.event_id;
  return quote;
}

function drawCase(index) {
  const each = data.cases[index], place = byId("case");
  place.replaceChildren();
  const back = make("a", "all cases");
  back.href = "#";
  add(place, add(make("nav"), back), make("h2", `${each.kind} ${each.id} on ${each.model}`),
    make("p", each.description));
  if (each.members.length > 1) {
    add(place, make("h2", `${each.members_total} accounts that act as one`), make("p", each.members.join(", ")));
  }
  if (each.points.length) {
    add(place, make("h2", "How its score went"), add(make("div"), make("div")));
    const chart = make("div", undefined, "plot");
    chart.id = "case-plot";
    add(place, chart);
  }
  if (each.reasons.length) {
    add(place, make("h2", "Why"), table(["feature", "value", "usual", "part of the score", ""],
      each.reasons.map((reason) => [reason.feature, reason.value, reason.usual, `${Math.round(100 * reason.share)} %`,
        reason.description])));
  }
  if (each.telling.length) {
    const own = add(make("div"), make("h2", "Its queries farthest from what others ask"), ...each.telling.map(sampleNode));
    const others = add(make("div"), make("h2", "Usual queries of other accounts"), ...each.usual.map(sampleNode));
    add(place, add(make("div", undefined, "columns"), own, others));
  }
  byId("overview").hidden = true;
  place.hidden = false;
  if (each.points.length) {
    plot("case-plot", [{ type: "scatter", mode: "lines+markers", x: each.points.map(([ms]) => when(ms)),
      y: each.points.map(([, , tail]) => -Math.log10(Math.max(tail, 1e-12))), line: { color: color("--mark") },
      text: each.points.map(([, queries]) => `${queries} queries`), hoverinfo: "x+y+text" }], {
      yaxis: { title: { text: "surprise (-log10 of the chance a day)" } },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: -Math.log10(data.about.threshold),
        y1: -Math.log10(data.about.threshold), line: { color: color("--ink"), dash: "dot" } }],
    });
  }
}

function route() {
  const found = /^#case-(\d+)$/.exec(location.hash);
  if (found && data.cases[Number(found[1])]) drawCase(Number(found[1]));
  else { byId("case").hidden = true; byId("overview").hidden = false; }
  window.scrollTo(0, 0);
}
drawOverview();
window.addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawAlerts(); drawBudget(); route(); });
route();
