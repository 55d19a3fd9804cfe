import { Door, ask, dress, make, onLanguage, part } from "/page.js";

const TEXTS = {
  ko: {
    title: "무엇을 물을 수 있나요?",
    other: "English",
    leave: "토큰 잊기",
    token: "토큰",
    enter: "열기",
    where: "상태 폴더의 secrets/chat.token이나 secrets/operator.token 파일에 있어요. 이 창을 닫으면 잊어요.",
    name: "이름",
    kind: "값",
    about: "뜻",
    needed: "꼭 필요",
    usual: (value) => `기본값 ${value}`,
    place: { path: "주소 안", query: "주소 뒤" },
    scope: (name) => `토큰: ${name}`,
    body: "본문",
    file: "파일 그대로",
    loading: "불러오고 있어요…",
    closed: "이 토큰으로는 들어갈 수 없어요.",
    away: "서버에 닿지 않아요.",
  },
  en: {
    title: "What can be asked?",
    other: "한국어",
    leave: "Forget the token",
    token: "A token",
    enter: "Open",
    where: "It lies in secrets/chat.token or secrets/operator.token of the state folder, and is forgotten when this window closes.",
    name: "Name",
    kind: "Value",
    about: "Meaning",
    needed: "needed",
    usual: (value) => `default ${value}`,
    place: { path: "in the path", query: "behind the path" },
    scope: (name) => `token: ${name}`,
    body: "Body",
    file: "a file as it is",
    loading: "Loading…",
    closed: "This token does not open the page.",
    away: "The server cannot be reached.",
  },
};
const LIMITS = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", maxLength: "chars ≤", maxItems: "items ≤" };

const door = new Door("nabi-docs", {
  opened: () => { problem = null; draw(); look(); },
  left: () => { described = problem = null; draw(); },
});
let described = null; // the server's OpenAPI description
let problem = null;

async function look() {
  if (!door.token) return draw();
  const { status, ok, said } = await ask("/openapi.json", door.token);
  const isRefused = status === 401 || status === 403;
  if (isRefused) door.forget();
  if (ok) described = said;
  problem = ok ? null : isRefused ? "closed" : "away";
  draw();
}

function draw() {
  const texts = dress(TEXTS);
  part("message").textContent = problem ? texts[problem] : door.token && !described ? texts.loading : "";
  door.draw();
  part("routes").hidden = !described;
  if (described) part("routes").replaceChildren(...routes(texts));
}

function routes(texts) {
  return Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, it]) => route(texts, `${method.toUpperCase()} ${path}`, it)));
}

function route(texts, name, it) {
  const scopes = (it.security || []).flatMap((one) => Object.values(one).flat());
  const parts = [make("summary", [make("code", name), ` ${(it.description || it.summary || "").split("\n")[0]}`])];
  if (scopes.length) parts.push(make("small", texts.scope(scopes.join(", "))));
  const more = (it.description || "").split("\n").slice(1).join("\n").trim();
  if (more) parts.push(make("p", more));
  const given = (it.parameters || []).map((one) => [one.name, one.schema, one.required, `${texts.place[one.in] || one.in} ${one.description || ""}`]);
  if (given.length) parts.push(table(texts, given));
  for (const [type, content] of Object.entries(it.requestBody ? it.requestBody.content : {})) {
    parts.push(make("h3", `${texts.body} · ${type}`));
    const schema = resolved(content.schema);
    const fields = Object.entries(schema.properties || {});
    if (schema.description) parts.push(make("p", schema.description));
    parts.push(fields.length
      ? table(texts, fields.map(([field, one]) => [field, one, (schema.required || []).includes(field), one.description || ""]))
      : make("p", it.requestBody.description || texts.file));
  }
  return make("details", parts);
}

function table(texts, rows) {
  const head = make("tr", [texts.name, texts.kind, texts.about].map((text) => make("th", text)));
  const lines = rows.map(([name, schema, needed, about]) => {
    const usual = schema.default !== undefined && schema.default !== null ? texts.usual(JSON.stringify(schema.default)) : "";
    const label = make("th", make("code", name));
    label.scope = "row";
    return make("tr", [label, make("td", kind(schema)), make("td", [needed ? texts.needed : usual, " ", about])]);
  });
  return make("table", [make("thead", head), make("tbody", lines)]);
}

/** A schema in one line: string, integer ≥ 1, Message[] … */
function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum || schema.const !== undefined) return (schema.enum || [schema.const]).map((value) => JSON.stringify(value)).join(" | ");
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.filter((one) => one.type !== "null").map(kind).join(" | ");
  const limits = Object.entries(LIMITS).filter(([name]) => schema[name] !== undefined).map(([name, sign]) => ` ${sign} ${schema[name]}`);
  const inside = schema.type === "array" && schema.items ? `${kind(schema.items)}[]` : schema.type || "…";
  return inside + limits.join("");
}

function resolved(schema) {
  return schema.$ref ? described.components.schemas[schema.$ref.split("/").pop()] : schema;
}

onLanguage(draw);
draw();
look();
