import { Door, ask as askServer, dress, make, moment, onLanguage, part } from "/page.js";

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
    tainted: "그 뒤로 지워진 말에서 배웠어요. 새로 학습해야 해요.",
    share: "세션의 몇 %",
    of: (it) => `${it.candidate} · 세션의 ${it.share}%${it.planned ? " · 계획대로 늘어남" : ""}`,
    never: "아직 없음",
    outcomes: { deployed: "새 버전 배포", kept: "지금 버전 유지", skipped: "건너뜀", failed: "실패", cancelled: "취소됨", running: "진행 중", won: "재연에서 이김" },
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
    fails: (work, why) => `${work} 못하고 있어요: ${why}`,
    works: { routes: "무엇이 답할지 살피지", spool: "들은 말을 저장하지", watch: "나빠졌는지 지켜보지", deletions: "지워 달라는 말을 지우지" },
    broken: (persona, why) => `${persona}: 답할 수 없어요. ${why}`,
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
    tainted: "Learned from words that were deleted since: train it anew.",
    share: "Percent of the sessions",
    of: (it) => `${it.candidate} · ${it.share} % of the sessions${it.planned ? " · grows by plan" : ""}`,
    never: "none yet",
    outcomes: { deployed: "deployed a new version", kept: "kept the live version", skipped: "skipped", failed: "failed", cancelled: "cancelled", running: "under way", won: "won a replay" },
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
    fails: (work, why) => `The server fails at ${work}: ${why}`,
    works: { routes: "seeing what is live", spool: "keeping what was said", watch: "watching the answers", deletions: "deleting what is to be forgotten" },
    broken: (persona, why) => `${persona} cannot answer: ${why}`,
  },
};
const EVERY_MS = 5000;

const door = new Door("nabi-operator", {
  opened: () => { problem = told = null; draw(); look(); },
  left: () => { personas = live = one = told = problem = null; draw(); },
});
let personas = null; // what the server said last
let live = null; // … of its own work
let one = null; // … of the chosen persona
let told = null; // how the last thing that was done ended: a function of the texts
let problem = null;
let asked = null; // what the dialogue is about

const chosen = () => decodeURIComponent(location.hash.slice(1));

/** What the server answers; null where it did not, and `problem` says why. */
async function ask(path, body) {
  const { status, ok, said } = await askServer(path, door.token, body);
  if (status === 401 || status === 403) {
    door.forget();
    personas = live = one = null;
    problem = "closed";
    return null;
  }
  problem = status === 0 || (status >= 500 && !body) ? "away" : null;
  if (ok) return said;
  if (body && status) told = (texts) => texts.refused(said.error.message);
  return null;
}

async function look() {
  if (!door.token) return draw();
  const all = await ask("/v1/personas");
  if (all) personas = all;
  live = all && (await ask("/v1/live"));
  const name = chosen();
  if (door.token && name && personas && personas.some((it) => it.persona === name)) {
    const found = await ask(`/v1/personas/${encodeURIComponent(name)}`);
    if (found && chosen() === name) one = found;
  } else {
    one = null;
  }
  draw();
}

function draw() {
  const texts = dress(TEXTS);
  part("message").textContent = problem ? texts[problem] : told ? told(texts) : door.token && !personas ? texts.loading : "";
  door.draw();
  part("troubles").replaceChildren(...(live ? troubles(texts) : []));
  part("personas").hidden = !personas;
  part("one").hidden = !one;
  if (personas) drawAll(texts);
  if (one) drawOne(texts);
}

function troubles(texts) {
  const works = Object.entries(live.in_trouble).map(([work, why]) => texts.fails(texts.works[work] || work, why));
  const broken = Object.entries(live.broken).map(([persona, why]) => texts.broken(persona, why));
  return [...works, ...broken].map((line) => make("li", line));
}

function drawAll(texts) {
  const focused = document.activeElement && document.activeElement.dataset.persona;
  const rows = personas.map((it) => {
    const row = make("tr", [
      make("td", [choice(it), make("small", it.persona)]),
      make("td", [it.champion || texts.base, make("small", it.since ? texts.since(moment(it.since)) : it.base), make("small", it.tainted ? texts.tainted : "")]),
      make("td", [it.previous || texts.none, make("small", it.barred || "")]),
      make("td", it.trial ? texts.of(it.trial) : texts.none),
      make("td", `${it.new_samples} / ${it.needed ?? "?"}`),
      make("td", it.doing ? progress(texts, it.doing) : ending(texts, it)),
    ]);
    row.lastChild.classList.toggle("failed", it.failed && !it.doing);
    row.setAttribute("aria-current", String(it.persona === chosen()));
    return row;
  });
  document.querySelector("#personas tbody").replaceChildren(...rows);
  if (focused) document.querySelector(`[data-persona="${CSS.escape(focused)}"]`)?.focus();
}

/** What became of the newest window, and below it the sentence of the journal, which is English. */
function ending(texts, it) {
  if (!it.outcome) return it.last_window || texts.never;
  const gain = it.gain === null ? "" : ` · ${it.gain < 0 ? "−" : "+"}${Math.abs(100 * it.gain).toFixed(1)} %`;
  return [texts.outcomes[it.outcome] + gain, make("small", it.last_window === it.outcome ? "" : it.last_window)];
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

for (const what of ["rollback", "promote", "rollout"]) {
  part(what).addEventListener("click", () => sure(what, part(what).textContent));
}
part("no").addEventListener("click", () => part("sure").close(""));
part("sure").addEventListener("close", carryOut);
onLanguage(draw);
window.addEventListener("hashchange", () => { one = null; told = null; look(); });
setInterval(() => { if (!document.hidden && door.token && !part("sure").open) look(); }, EVERY_MS);

draw();
look();
