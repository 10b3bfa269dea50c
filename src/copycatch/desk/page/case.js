"use strict";
// The page of one account or campaign.
function sampleNode(sample) {
  const quote = make("blockquote");
  quote.title = sample.event_id;
  if (sample.picture) quote.append(picture(sample.picture));
  const times = sample.times > 1 ? ` (asked ${sample.times} times)` : "";
  const label = sample.label === null ? "" : ` → ${short(sample.label, 300)}`;
  const asked = sample.text !== null ? short(sample.text, 1500) : `${sample.distance.toFixed(1)} deviations from the usual: ` +
    sample.deviations.map(([column, value]) => `[${column}] ${value > 0 ? "+" : ""}${value.toFixed(1)}`).join(", ");
  return add(quote, make("span", asked + label + times));
}

function picture(values) {
  const side = Math.sqrt(values.length), canvas = make("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), image = context.createImageData(side, side);
  values.forEach((value, i) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

const sums = (activity) => {
  const total = new Map();
  for (const counts of activity.counts) for (const [ms, n] of counts) total.set(ms, (total.get(ms) ?? 0) + n);
  return [...total].sort((a, b) => a[0] - b[0]);
};

function drawTimeline(each) {
  const traces = [], threshold = surprise(data.about.threshold), queries = each.activity ? sums(each.activity) : [];
  const hasScore = each.points.length > 0, hasQueries = queries.length > 0;
  if (hasScore) {
    traces.push({ type: "scatter", mode: "lines+markers", x: each.points.map(([ms]) => when(ms)), marker: { size: 5 },
      y: each.points.map(([, , tail]) => surprise(tail)), line: { color: color("--own") },
      text: each.points.map(([, n]) => `${count(n)} queries`), hovertemplate: "%{x}<br>surprise %{y:.1f}, %{text}<extra></extra>" });
  }
  if (hasQueries) {
    const width = each.activity.step_ms;
    traces.push({ type: "bar", yaxis: hasScore ? "y2" : "y", x: queries.map(([ms]) => when(ms + width / 2)), y: queries.map(([, n]) => n), width,
      marker: { color: color("--calm") }, hovertemplate: "%{x}: %{y} queries<extra></extra>" });
  }
  const both = hasScore && hasQueries;
  plot("timeline-plot", traces, {
    yaxis: { title: { text: hasScore ? "surprise" : "queries" }, rangemode: "tozero", domain: both ? [.42, 1] : [0, 1] },
    ...(both ? { yaxis2: { title: { text: "queries" }, rangemode: "tozero", domain: [0, .3] } } : {}),
    shapes: hasScore ? [dotted({ xref: "paper", x0: 0, x1: 1, y0: threshold, y1: threshold })] : [],
  });
}

function drawMembers(each) {
  const { accounts, counts, step_ms: step } = each.activity;
  const first = Math.min(...counts.map((row) => row[0][0])), last = Math.max(...counts.map((row) => row[row.length - 1][0]));
  const steps = Array.from({ length: Math.round((last - first) / step) + 1 }, (_, i) => first + i * step);
  const z = counts.map((row) => { const known = new Map(row); return steps.map((ms) => known.get(ms) ?? null); });
  byId("members-plot").style.height = `${Math.min(40, Math.max(12, 4 + 1.1 * accounts.length))}rem`;
  plot("members-plot", [{ type: "heatmap", x: steps.map((ms) => when(ms + step / 2)), y: accounts.map((_, i) => i), z, xgap: .5, ygap: 1, hoverongaps: false,
    colorscale: [[0, color("--calm")], [1, color("--own")]], text: counts.map((_, i) => steps.map(() => safe(short(accounts[i], 40)))),
    hovertemplate: "%{text}<br>%{x}: %{z} queries<extra></extra>", colorbar: { title: { text: "queries" }, thickness: 10, outlinewidth: 0 } }], {
    yaxis: { tickvals: accounts.map((_, i) => i), ticktext: accounts.map((name) => safe(short(name, isNarrow() ? 12 : 24))),
      showticklabels: accounts.length <= 40, autorange: "reversed", showgrid: false },
    xaxis: { showgrid: false }, margin: { l: 50, r: 12, t: 10, b: 42 },
  });
}

// Others' 5 to 95 % lies from -1 to 1; what is farther than the border stands at it.
const BORDER = 5;
function drawComparison(each) {
  const shown = each.reasons.filter((reason) => reason.at !== null && reason.others.length), names = shown.map((reason) => reason.feature);
  const scaled = shown.map((reason) => {
    const n = reason.others.length - 1, low = reason.others[Math.round(.05 * n)], high = reason.others[Math.round(.95 * n)];
    const half = (high - low) / 2 || Math.abs(high) / 20 || 1e-9;
    return (value) => Math.max(-BORDER, Math.min(BORDER, (value - (low + high) / 2) / half));
  });
  const ticks = shown.flatMap((reason, i) => reason.others.map((value) => [scaled[i](value), names[i]]));
  byId("compare-plot").style.height = `${5 + 2.1 * shown.length}rem`;
  plot("compare-plot", [
    { type: "scatter", mode: "markers", x: ticks.map(([x]) => x), y: ticks.map(([, y]) => y), hoverinfo: "skip",
      marker: { symbol: "line-ns-open", size: 11, color: color("--calm"), opacity: .8, line: { width: 1.5 } } },
    { type: "scatter", mode: "markers", x: shown.map((reason, i) => scaled[i](reason.at)), y: names,
      text: shown.map((reason) => `${safe(reason.description)}<br>${reason.value}, usual ${reason.usual}`), hovertemplate: "%{text}<extra></extra>",
      marker: { color: color("--own"), size: 12, symbol: shown.map((reason, i) => Math.abs(scaled[i](reason.at)) < BORDER ? "diamond"
        : reason.at > 0 || scaled[i](reason.at) > 0 ? "triangle-right" : "triangle-left") } },
  ], {
    xaxis: { range: [-BORDER - .4, BORDER + .4], tickvals: [-BORDER, -1, 0, 1, BORDER], zeroline: false,
      ticktext: isNarrow() ? ["far", "5 %", "", "95 %", "far"] : ["far below", "5 % of others", "", "95 % of others", "far above"] },
    yaxis: { autorange: "reversed", type: "category", automargin: true },
    shapes: [{ type: "rect", xref: "x", yref: "paper", x0: -1, x1: 1, y0: 0, y1: 1, fillcolor: color("--line"), opacity: .5, line: { width: 0 }, layer: "below" }],
  });
}

function drawMap(each) {
  const points = (list, name, marker) => ({ type: "scatter", mode: "markers", name, x: list.map(([x]) => x), y: list.map(([, y]) => y),
    text: list.map(([, , text]) => wrapped(text)), hovertemplate: "%{text}<extra></extra>", marker });
  const axis = { title: { text: "" }, zeroline: false };
  plot("map-plot", [points(each.map.others, "other accounts", { color: color("--calm"), size: 6, opacity: .6 }),
    points(each.map.own, each.kind === "campaign" ? "the campaign" : "this account", { color: color("--own"), size: 7, symbol: "diamond", opacity: .8 })], {
    showlegend: true, margin: { l: 35, r: 12, t: 24, b: 30 }, xaxis: axis, yaxis: axis, hovermode: "closest",
  });
}

function drawLinks(each) {
  const { members, ties } = each.links, tau = 2 * Math.PI;
  const around = (i, n, radius) => [radius * Math.sin(tau * i / n), radius * Math.cos(tau * i / n)];
  const outer = members.map((_, i) => around(i, members.length, 1));
  const direction = ties.map((tie) => { // of the middle of its members
    const [x, y] = tie.members.reduce((sum, i) => [sum[0] + outer[i][0], sum[1] + outer[i][1]], [0, 0]);
    return Math.atan2(x, y);
  });
  const order = ties.map((_, i) => i).sort((a, b) => direction[a] - direction[b]);
  const inner = [];
  order.forEach((tie, i) => { inner[tie] = ties.length === 1 ? [0, 0] : around(i + direction[order[0]] / tau * order.length, order.length, .5); });
  const lines = { x: [], y: [] };
  ties.forEach((tie, k) => tie.members.forEach((i) => { lines.x.push(inner[k][0], outer[i][0], null); lines.y.push(inner[k][1], outer[i][1], null); }));
  const few = members.length <= (isNarrow() ? 0 : 30);
  plot("links-plot", [
    { type: "scatter", mode: "lines", ...lines, line: { color: color("--faint"), width: .7 }, opacity: .5, hoverinfo: "skip" },
    { type: "scatter", mode: few ? "markers+text" : "markers", x: outer.map(([x]) => x), y: outer.map(([, y]) => y),
      text: members.map((name) => safe(short(name, 16))), hovertext: members.map((name) => safe(short(name, 60))), hoverinfo: "text",
      textposition: outer.map(([x, y]) => `${y > .3 ? "top" : y < -.3 ? "bottom" : "middle"} ${x > .3 ? "right" : x < -.3 ? "left" : "center"}`),
      marker: { color: color("--own"), size: members.length > 60 ? 5 : 9 }, cliponaxis: false },
    { type: "scatter", mode: "markers+text", x: inner.map(([x]) => x), y: inner.map(([, y]) => y), text: ties.map((_, i) => `${i + 1}`),
      textfont: { color: color("--paper"), size: 11 }, hovertext: ties.map((tie) => `${tie.kind}<br>${wrapped(tie.value)}<br>${tie.members.length} members, ${tie.others} others`),
      hoverinfo: "text", marker: { color: color("--calm"), size: 20, symbol: "square" } },
  ], {
    xaxis: { visible: false, range: few ? [-1.7, 1.7] : [-1.15, 1.15] }, yaxis: { visible: false, range: [-1.2, 1.2], scaleanchor: few ? undefined : "x" },
    margin: { l: 5, r: 5, t: 5, b: 5 }, hovermode: "closest",
  });
}

const chart = (id, name) => { const node = make("div", undefined, `plot ${name ?? ""}`); node.id = id; return node; };

function drawCase(index) {
  const each = data.cases[index], place = byId("case"), draws = [];
  const link = (text, href) => { const node = make("a", text); node.href = href; return node; };
  const next = data.cases[index + 1], nav = add(make("nav"), link("← all cases", "#"));
  if (next) nav.append(link("next case →", hashOf(next)));
  const facing = make("dl", undefined, "facts");
  facts(facing, [["severity", make("span", each.worst, each.worst)], ["state", each.is_open ? "open" : "closed"], ["queries", count(each.queries)],
    ["since", when(each.first_ms)], ["recommended", recommended(each)], ["verdict", each.verdict]]);
  place.replaceChildren(nav, make("h2", `${each.kind} ${each.id} on ${each.model}`), facing, make("p", each.description));
  if (each.closing) place.append(make("p", each.closing));
  for (const text of each.looks_like) place.append(make("p", `Looks like: ${text}`, "faint"));
  const campaigns = data.cases.filter((other) => other.kind === "campaign" && each.kind === "account" && other.members.includes(each.id));
  for (const other of campaigns) place.append(add(make("p", "A member of "), link(`campaign ${other.id}`, hashOf(other))));
  if (each.points.length || (each.activity && each.activity.counts.length)) {
    place.append(make("h2", each.points.length ? "How its score went, and how much it asked" : "How much it asked"), chart("timeline-plot"));
    draws.push(drawTimeline);
  }
  if (each.kind === "campaign") {
    place.append(make("h2", `${count(each.members_total)} accounts that act as one`), memberNames(each, link));
    if (each.activity && each.activity.counts.length > 1) { place.append(chart("members-plot")); draws.push(drawMembers); }
  }
  if (each.links && each.links.ties.length) {
    place.append(make("h2", "What they share, and hardly anybody else has"), chart("links-plot", "square"),
      table(["", "what", "value", "members", "others"], each.links.ties.map((tie, i) => [`${i + 1}`, tie.kind, short(tie.value, 120), tie.members.length, tie.others]), "cards"));
    draws.push(drawLinks);
  } else if (each.links) place.append(make("p", `Of what the ${data.about.is_live ? "service holds" : "log shows in the clear"} they share nothing that hardly anybody else has.`, "faint"));
  drawWhy(each, place, draws);
  if (each.map && each.map.own.length && each.map.others.length) {
    place.append(make("h2", "Its queries among everyone's"), make("p", "Each mark is a query; two that ask alike lie close. The axes are the two directions in which " +
      `these queries differ most, in deviations of other accounts' queries; they hold ${Math.round(100 * each.map.shown)} % of all that they differ by.${data.about.is_live ? " The service holds a few queries of each account, as directions without their text." : ""}`, "faint"), chart("map-plot", "square"));
    draws.push(drawMap);
  }
  if (each.telling && each.telling.length) {
    const own = add(make("div"), make("h2", "Its queries farthest from what others ask"), ...each.telling.map(sampleNode));
    const others = add(make("div"), make("h2", "Usual queries of other accounts"), ...each.usual.map(sampleNode));
    place.append(add(make("div", undefined, "columns"), own, others));
  } else if (data.about.is_live) place.append(make("p", "The service keeps no query as it was asked: copycatch report and copycatch explain --log show them from a log.", "faint"));
  place.append(make("p", `Alerts: ${each.uids.join(", ")}`, "faint"));
  byId("overview").hidden = true;
  place.hidden = false;
  for (const draw of draws) draw(each);
}

function memberNames(each, link) {
  const line = make("p");
  each.members.forEach((name, i) => {
    const own = data.cases.find((other) => other.kind === "account" && other.id === name);
    line.append(i ? ", " : "", own ? link(name, hashOf(own)) : name);
  });
  if (each.members_total > each.members.length) line.append(` and ${count(each.members_total - each.members.length)} more`);
  return line;
}

function drawWhy(each, place, draws) {
  if (!each.reasons.length) return;
  place.append(make("h2", each.kind === "campaign" ? "What speaks for it" : "Why, beside other accounts at about as many queries"));
  if (each.reasons.some((reason) => reason.at !== null && reason.others.length)) {
    place.append(chart("compare-plot"));
    draws.push(drawComparison);
  }
  place.append(table(["feature", "value", "usual", "part of the score", "what it is"],
    each.reasons.map((reason) => [reason.feature, reason.value, reason.usual, `${Math.round(100 * reason.share)} %`, reason.description]), "cards"));
}
