"use strict";
// Begins with the data in the page, or asks the service for them: the token goes in a header, and is kept in
// memory only, so that it stands in no address, no history and no storage.
const REFRESH_MS = 10_000;
let drawn = null, token = "", timer = 0;

function route() {
  if (data === null) return;
  const at = location.hash.length > 1 ? data.cases.findIndex((each) => hashOf(each) === location.hash) : -1;
  if (at >= 0) drawCase(at);
  else { byId("case").hidden = true; byId("overview").hidden = false; drawOverview(); }
  if (drawn !== location.hash) window.scrollTo(0, 0);
  drawn = location.hash;
}

function show(given) {
  const isFirst = data === null;
  data = given;
  byId("login").hidden = true;
  if (isFirst) byId("budget").value = Math.log10(data.about.budget);
  route();
}

async function ask() {
  clearTimeout(timer);
  let says = "";
  try {
    const answer = await fetch("desk.json", { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
    if (answer.ok) show(await answer.json());
    else if (answer.status === 401) { token = ""; data = null; says = "The token is not the desk's."; }
    else says = `The service answered ${answer.status}.`;
  } catch { says = "The service cannot be reached."; }
  if (data === null) {
    byId("overview").hidden = byId("case").hidden = true;
    byId("login").hidden = false;
    byId("login-says").textContent = says;
  } else if (says) byId("about").textContent = `${says} What stands here is of ${data.about.made}.`;
  if (token) timer = setTimeout(ask, REFRESH_MS);
}

byId("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  byId("token").value = "";
  ask();
});
byId("budget").addEventListener("input", drawBudget);
window.addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", route);
// On paper everything is dark on white, and as wide as paper is.
const paper = (isPaper) => {
  document.documentElement.classList.toggle("paper", isPaper);
  document.body.style.width = isPaper ? "680px" : "";
  route();
};
window.addEventListener("beforeprint", () => paper(true));
window.addEventListener("afterprint", () => paper(false));
const embedded = byId("data").textContent;
if (embedded.trim()) show(JSON.parse(embedded));
else byId("login").hidden = false;
