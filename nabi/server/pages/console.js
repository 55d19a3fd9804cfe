"use strict";

const TEXTS = {
  ko: {
    title: "누가 답하고 있나요?",
    other: "English",
    leave: "토큰 잊기",
    token: "운영자 토큰",
    enter: "열기",
    where: "상태 폴더의 secrets/operator.token 파일에 있어요. 이 창을 닫으면 잊어요.",
    persona: "페르소나",
    live: "지금 답하는 것",
    back: "되돌릴 곳",
    trial: "시험 중",
    fresh: "새 대화",
    last: "최근 학습",
    base: "기본 모델",
    none: "없음",
    since: (when) => `${when}부터`,
    share: "세션의 몇 %",
    of: (it) => `${it.candidate} · 세션의 ${it.share}%${it.planned ? " · 계획대로 늘어남" : ""}`,
    never: "아직 없음",
    stages: {
      collect: "대화를 읽는 중",
      filter: "배우지 않을 것을 골라내는 중",
      bootstrap: "카탈로그로 채우는 중",
      snapshot: "데이터셋을 쓰는 중",
      train: "학습하는 중",
      evaluate: "새 버전과 지금 버전을 재는 중",
      judge: "심판에게 묻는 중",
      gate: "정하는 중",
      people: "사람들의 표를 기다리는 중",
      conclude: "결정을 저장하는 중",
    },
    measured: "최근 답으로 잰 것",
    changes: "바뀐 기록",
    nothing: "아직 바뀐 것이 없어요.",
    roles: { champion: "지금 답하는 것", candidate: "시험 중", previous: "되돌릴 곳" },
    rows: { num_answers: "답 수", broke_a_rule: "규칙을 어긴 답", seconds: "시간, 가운데값", slow_seconds: "시간, 느린 5%", num_chars: "길이, 가운데값", reactions: "좋아요 / 싫어요" },
    seconds: (number) => `${number.toFixed(2)}초`,
    chars: (number) => `${Math.round(number)}자`,
    actions: { deploy: "배포", rollback: "되돌림", promote: "손으로 올림", trial: "시험", trial_stopped: "시험 끝냄" },
    rollback: (it) => (it.trial ? `${it.trial.candidate} 시험 끝내기` : `${it.previous}로 되돌리기`),
    promote: (it) => `${it.trial.candidate} 올리기`,
    try: "새 버전을 일부 세션에 시험하기",
    who: "누가",
    why: "왜",
    yes: "그렇게 하기",
    no: "그만두기",
    done: { rollback: "되돌렸어요.", promote: "올렸어요.", rollout: "시험을 시작했어요." },
    loading: "불러오고 있어요…",
    closed: "이 토큰으로는 들어갈 수 없어요. 운영자 토큰이 맞는지 보세요.",
    away: "서버에 닿지 않아요. 저절로 다시 해 볼게요.",
    refused: (why) => `하지 못했어요: ${why}`,
  },
  en: {
    title: "What is live?",
    other: "한국어",
    leave: "Forget the token",
    token: "The operator's token",
    enter: "Open",
    where: "It lies in secrets/operator.token of the state folder, and is forgotten when this window closes.",
    persona: "Persona",
    live: "Live",
    back: "Way back",
    trial: "On trial",
    fresh: "New conversations",
    last: "Newest window",
    base: "the base model",
    none: "none",
    since: (when) => `since ${when}`,
    share: "Percent of the sessions",
    of: (it) => `${it.candidate} · ${it.share} % of the sessions${it.planned ? " · grows by plan" : ""}`,
    never: "none yet",
    stages: {
      collect: "reading what was said",
      filter: "sorting out what may not be learned from",
      bootstrap: "filling up from the catalogue",
      snapshot: "writing the dataset",
      train: "training",
      evaluate: "measuring the candidate against the champion",
      judge: "asking the judge",
      gate: "deciding",
      people: "waiting for people's votes",
      conclude: "saving the decision",
    },
    measured: "Measured on the newest answers",
    changes: "Changes",
    nothing: "Nothing was changed yet.",
    roles: { champion: "live", candidate: "on trial", previous: "way back" },
    rows: { num_answers: "Answers", broke_a_rule: "Break a rule", seconds: "Time, median", slow_seconds: "Time, slowest 5 %", num_chars: "Length, median", reactions: "Liked / disliked" },
    seconds: (number) => `${number.toFixed(2)} s`,
    chars: (number) => `${Math.round(number)} characters`,
    actions: { deploy: "deployed", rollback: "rolled back", promote: "promoted by hand", trial: "on trial", trial_stopped: "trial ended" },
    rollback: (it) => (it.trial ? `End the trial of ${it.trial.candidate}` : `Roll back to ${it.previous}`),
    promote: (it) => `Promote ${it.trial.candidate}`,
    try: "Try a new version on some sessions",
    who: "Who",
    why: "Why",
    yes: "Do it",
    no: "Cancel",
    done: { rollback: "Rolled back.", promote: "Promoted.", rollout: "The trial runs." },
    loading: "Loading…",
    closed: "This token does not open the page. Is it the operator's?",
    away: "The server cannot be reached; it will be asked again.",
    refused: (why) => `Not done: ${why}`,
  },
};
const EVERY_MS = 5000;
const TOKEN = "nabi-operator";

let language = localStorage.getItem("nabi-language") === "en" ? "en" : "ko";
let personas = null; // what the server said last
let one = null; // … of the chosen persona
let told = null; // how the last thing that was done ended: a function of the texts
let problem = null;
let asked = null; // what the dialogue is about

const part = (id) => document.getElementById(id);
const chosen = () => decodeURIComponent(location.hash.slice(1));
const token = () => sessionStorage.getItem(TOKEN);

/** What the server answers; null where it did not, and `problem` says why. */
async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${token()}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  } catch {
    problem = "away";
    return null;
  }
  if (answer.status === 401 || answer.status === 403) {
    sessionStorage.removeItem(TOKEN);
    personas = one = null;
    problem = "closed";
    return null;
  }
  problem = answer.status >= 500 && !body ? "away" : null;
  const said = await answer.json();
  if (answer.ok) return said;
  if (body) told = (texts) => texts.refused(said.error.message);
  return null;
}

async function look() {
  if (!token()) return draw();
  const all = await ask("/v1/personas");
  if (all) personas = all;
  const name = chosen();
  if (token() && name && personas && personas.some((it) => it.persona === name)) {
    const found = await ask(`/v1/personas/${encodeURIComponent(name)}`);
    if (found && chosen() === name) one = found;
  } else {
    one = null;
  }
  draw();
}

function draw() {
  const texts = TEXTS[language];
  document.documentElement.lang = language;
  document.title = texts.title;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  part("language").textContent = texts.other;
  part("language").lang = language === "ko" ? "en" : "ko";
  part("message").textContent = problem ? texts[problem] : told ? told(texts) : token() && !personas ? texts.loading : "";
  part("login").hidden = Boolean(token());
  part("leave").hidden = !token();
  part("personas").hidden = !personas;
  part("one").hidden = !one;
  if (personas) drawAll(texts);
  if (one) drawOne(texts);
}

function drawAll(texts) {
  const focused = document.activeElement && document.activeElement.dataset.persona;
  const rows = personas.map((it) => {
    const row = make("tr", [
      make("td", [choice(it), make("small", it.persona)]),
      make("td", [it.champion || texts.base, make("small", it.since ? texts.since(moment(it.since)) : it.base)]),
      make("td", [it.previous || texts.none, make("small", it.barred || "")]),
      make("td", it.trial ? texts.of(it.trial) : texts.none),
      make("td", `${it.new_samples} / ${it.needed ?? "?"}`),
      make("td", it.doing ? progress(texts, it.doing) : it.last_window || texts.never),
    ]);
    row.lastChild.classList.toggle("failed", it.failed && !it.doing);
    row.setAttribute("aria-current", String(it.persona === chosen()));
    return row;
  });
  document.querySelector("#personas tbody").replaceChildren(...rows);
  if (focused) document.querySelector(`[data-persona="${CSS.escape(focused)}"]`)?.focus();
}

/** The bar of a pass under way; what a step itself says stands below it. */
function progress(texts, it) {
  const words = texts.stages[it.stage] || it.stage;
  const bar = make("progress", []);
  bar.max = 100;
  bar.value = it.percent;
  bar.setAttribute("aria-label", words);
  const told = it.stage === "train" ? `${it.told} · ` : "";
  return [bar, ` ${Math.round(it.percent)} % · ${words}`, make("small", told + moment(it.at))];
}

function choice(it) {
  const button = make("button", it.name);
  button.type = "button";
  button.dataset.persona = it.persona;
  button.addEventListener("click", () => { location.hash = encodeURIComponent(it.persona); });
  return button;
}

function drawOne(texts) {
  part("name").textContent = `${one.name} · ${one.champion || texts.base}`;
  const canGoBack = one.trial || (one.previous && !one.barred);
  part("rollback").hidden = !canGoBack;
  part("promote").hidden = !one.trial;
  if (canGoBack) part("rollback").textContent = texts.rollback(one);
  if (one.trial) part("promote").textContent = texts.promote(one);
  const columns = one.measures;
  const head = [make("th", ""), ...columns.map((it) => make("th", [it.version, make("small", texts.roles[it.role])]))];
  document.querySelector("#measures thead").replaceChildren(make("tr", head));
  const rows = Object.entries(texts.rows).map(([name, title]) => {
    const label = make("th", title);
    label.scope = "row";
    return make("tr", [label, ...columns.map((it) => make("td", figure(texts, it, name)))]);
  });
  document.querySelector("#measures tbody").replaceChildren(...rows);
  const changes = one.changes.map((it) =>
    make("li", [`${it.version} · ${texts.actions[it.action]}${it.share ? ` · ${it.share} %` : ""}`, make("small", `${moment(it.at)} · ${it.who}: ${it.why}`)]));
  part("changes").replaceChildren(...(changes.length ? changes : [make("li", texts.nothing)]));
}

function figure(texts, it, name) {
  if (name === "num_answers") return String(it.num_answers);
  if (name === "reactions") return `${it.liked} / ${it.disliked}`;
  if (it[name] === null) return "–";
  if (name === "broke_a_rule") return `${(100 * it[name]).toFixed(1)} %`;
  return name === "num_chars" ? texts.chars(it[name]) : texts.seconds(it[name]);
}

function moment(text) {
  return new Date(text).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

/** Text only: what is shown was written by people and by models. */
function make(kind, content) {
  const element = document.createElement(kind);
  element.append(...[content].flat());
  return element;
}

/** Nothing is done before somebody said who they are and why. */
function sure(what, title) {
  asked = { what, persona: one.persona, version: one.trial && one.trial.candidate };
  part("what").textContent = title;
  part("part").hidden = what !== "rollout";
  part("share").disabled = what !== "rollout";
  part("who").value = localStorage.getItem("nabi-who") || "";
  part("why").value = "";
  part("sure").returnValue = "";
  part("sure").showModal();
  part(part("who").value ? "why" : "who").focus();
}

async function carryOut() {
  if (part("sure").returnValue !== "yes" || !asked) return;
  const { what, persona, version } = asked;
  asked = null;
  const body = { who: part("who").value.trim(), why: part("why").value.trim() };
  localStorage.setItem("nabi-who", body.who);
  if (what === "rollout") body.share = Number(part("share").value);
  if (what === "promote") body.version = version;
  told = null;
  if (await ask(`/v1/personas/${encodeURIComponent(persona)}/${what}`, body)) told = (texts) => texts.done[what];
  await look();
  part("name").focus();
}

part("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, part("token").value.trim());
  part("token").value = "";
  problem = told = null;
  draw();
  look();
});
part("leave").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  personas = one = told = problem = null;
  draw();
});
part("rollback").addEventListener("click", () => sure("rollback", TEXTS[language].rollback(one)));
part("promote").addEventListener("click", () => sure("promote", TEXTS[language].promote(one)));
part("rollout").addEventListener("click", () => sure("rollout", TEXTS[language].try));
part("no").addEventListener("click", () => part("sure").close(""));
part("sure").addEventListener("close", carryOut);
part("language").addEventListener("click", () => {
  language = language === "ko" ? "en" : "ko";
  localStorage.setItem("nabi-language", language);
  draw();
});
window.addEventListener("hashchange", () => { one = null; told = null; look(); });
setInterval(() => { if (!document.hidden && token() && !part("sure").open) look(); }, EVERY_MS);

draw();
look();
