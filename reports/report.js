"use strict";
// The report in a browser: everything is drawn from the JSON in the page, so that ten thousand results open at once.
// What is shown stands in the address after "#": a view can be bookmarked, sent, and gone back from.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const PAGE = 100;
  const PRINTED = 3000;
  const order = ["nonconformant", "inconclusive", "not-tested", "conditional", "conformant"];

  // --- small parts ---
  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== ""));
    return node;
  };
  const both = (pair) => (pair[0] === pair[1]
    ? pair[0] : [el("span", { class: "zh", lang: "zh-CN" }, pair[0]), el("span", { class: "en", lang: "en" }, pair[1])]);
  const t = (zh, en) => both([zh, en]);
  const word = (group, key) => (data.words[group] || {})[key] || [key, key];
  const plain = (pair) => { // for places that can hold no markup
    const lang = document.documentElement.dataset.lang;
    return pair[0] === pair[1] || lang === "zh" ? pair[0] : lang === "en" ? pair[1] : `${pair[0]} ${pair[1]}`;
  };
  const tag = (group, key) => el("span", { class: `tag ${key === "skip" ? "skip-result" : key}` }, both(word(group, key)));
  const name = (axis, value) => (data.names[axis] || {})[value] || [value, value];
  const axis = (key) => ({ cpu: ["处理器", "CPU"], os: ["操作系统", "OS"], database: ["数据库", "database"],
    runtime: ["运行时", "runtime"], middleware: ["中间件", "middleware"], upgrade_from: ["升级自", "upgraded from"],
    fidelity: ["保真度", "fidelity"] }[key] || [key, key]);
  const valueOf = (cell, key) => (key === "fidelity" ? cell.fidelity || "—" : cell.axes[key] || "—");
  const nameOf = (key, value) => (key === "fidelity" ? word("fidelity", value) : name(key, value));
  const title = (cell) => {
    const parts = Object.keys(cell.axes).map((key) => name(key, cell.axes[key]));
    return [parts.map((one) => one[0]).join(" · "), parts.map((one) => one[1]).join(" · ")];
  };
  const seconds = (value) => (value === undefined || value === null ? "—" : `${value.toFixed(1)} s`);
  const head = (...columns) => el("thead", {}, el("tr", {}, columns.map((one) => {
    const [content, kind] = one.content === undefined ? [one, ""] : [one.content, one.kind];
    return el("th", { scope: "col", class: kind || null }, content);
  })));
  const n = (content) => ({ content, kind: "n" });
  const table = (caption, columns, rows) => el("table", {}, caption ? el("caption", {}, caption) : null,
    head(...columns), el("tbody", {}, rows));
  const card = (...children) => el("div", { class: "card" }, ...children);
  const fact = (zh, en, value) => el("div", {}, el("b", {}, t(zh, en)), value === "" ? "—" : value);
  const svg = (text, label) => { // drawn by the harness, text in it is escaped
    const parsed = document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
    parsed.setAttribute("aria-label", plain(label));
    return parsed;
  };
  const address = (view, values) => {
    const query = new URLSearchParams(Object.entries(values || {}).filter(([, value]) => value !== "" && value !== undefined));
    return `#${view}${query.size ? `?${query}` : ""}`;
  };
  const place = () => {
    const [view, query] = decodeURI(location.hash.slice(1) || "overview").split("?");
    return { view, query: Object.fromEntries(new URLSearchParams(query || "")) };
  };
  const choice = (zh, en, value, options, change) => {
    const select = el("select", {}, options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
    select.addEventListener("change", () => change(select.value));
    return el("label", {}, el("span", {}, t(zh, en)), select);
  };
  // Rules of static scans are counted apart: files were read for them, nothing ran.
  const count = (cell, result) => cell.results.reduce((sum, one) => sum + (one[1] === result && !one[8] ? 1 : 0), 0);
  const silent = (cell) => {
    const rules = cell.results.filter((one) => one[8]);
    return rules.length ? `${rules.filter((one) => one[1] === "pass").length}/${rules.length}` : "—";
  };

  // --- the matrix ---
  function matrix(query) {
    const keys = [...data.axes, "fidelity"];
    const rows = keys.includes(query.rows) ? query.rows : "cpu";
    let columns = keys.includes(query.columns) ? query.columns : "database";
    if (columns === rows) columns = keys.find((key) => key !== rows);
    const turn = (change) => { location.hash = address("overview", { ...query, rows, columns, ...change }); };
    const options = keys.map((key) => [key, plain(axis(key))]);
    const values = (key) => [...new Set(data.cells.map((cell) => valueOf(cell, key)))];
    const body = values(rows).map((row) => el("tr", {}, el("th", { scope: "row" }, both(nameOf(rows, row))),
      values(columns).map((column) => {
        const here = data.cells.filter((cell) => valueOf(cell, rows) === row && valueOf(cell, columns) === column);
        if (!here.length) return el("td", {}, el("span", { class: "none" }, "—"));
        const worst = order.find((one) => here.some((cell) => cell.verdict === one));
        const good = here.filter((cell) => cell.verdict === "conformant").length;
        const weakest = [...new Set(here.map((cell) => plain(word("fidelity", cell.fidelity || "—"))))].join(" / ");
        const to = here.length === 1 ? `#cell-${here[0].short}` : address("cells", { [rows]: row, [columns]: column });
        return el("td", {}, el("a", { class: worst, href: to }, both(word("verdict", worst)),
          el("br"), here.length === 1 ? weakest : `${good}/${here.length} · ${weakest}`));
      })));
    return card(el("h2", {}, t("适配矩阵", "Matrix")),
      el("div", { class: "controls" },
        choice("行", "rows", rows, options, (value) => turn({ rows: value, columns: value === columns ? rows : columns })),
        choice("列", "columns", columns, options, (value) => turn({ columns: value, rows: value === rows ? columns : rows }))),
      el("table", { class: "heat" }, el("caption", {}, t("每格显示最差结论；数字为通过单元数/单元数", "Each field shows the worst verdict; numbers are conformant of all cells")),
        el("thead", {}, el("tr", {}, el("td"), values(columns).map((column) => el("th", { scope: "col" }, both(nameOf(columns, column)))))),
        el("tbody", {}, body)),
      el("p", { class: "soft" }, t("覆盖", "coverage"), ": ", data.coverage.map(([key, value], i) => [i ? "; " : "", both(word("coverage", key)), ` ${value}`])),
      data.strategy !== "full" ? el("p", { class: "soft" }, t("抽样测试：未选单元不作任何结论。", "Sampled: nothing is said of cells that were not selected."), ` (${data.strategy})`) : null);
  }

  function cellRows(cells) {
    return cells.flatMap((cell) => [
      el("tr", {}, el("td", {}, el("a", { href: `#cell-${cell.short}` }, both(title(cell)))),
        el("td", {}, both(word("fidelity", cell.fidelity || "—"))), el("td", {}, tag("verdict", cell.verdict)),
        data.results.map((result) => el("td", { class: "n" }, String(count(cell, result)))), el("td", { class: "n" }, silent(cell)),
        el("td", { class: "n" }, seconds(cell.seconds.deployed)), el("td", { class: "n" }, seconds(cell.seconds.total))),
      cell.unsteady ? el("tr", {}, el("td", { colspan: 11 }, el("b", {}, t("不稳定", "unsteady")), ": ", t(`第 ${cell.attempts.length} 次执行才通过`, `passed only at attempt ${cell.attempts.length}`))) : null,
      ...cell.waived.map((one) => el("tr", {}, el("td", { colspan: 11 }, el("b", {}, t("豁免", "waived")), ` ${one.case}: ${one.because} (`, t("批准", "approved by"), ` ${one.approved_by}, `, t("依据", "evidence"), ` ${one.evidence}, `, t("有效至", "until"), ` ${one.expires})`))),
      cell.message ? el("tr", {}, el("td", { colspan: 11 }, cell.cause ? [el("b", {}, both(word("cause", cell.cause))), ": "] : "", cell.message)) : null,
    ].filter(Boolean));
  }
  const cellHead = () => [t("单元", "cell"), t("保真度", "fidelity"), t("结论", "verdict"),
    ...data.results.map((result) => n(both(word("result", result)))), n(t("静态规则", "static rules")), n(t("部署", "deployed")), n(t("总计", "total"))];

  // --- the views ---
  function overview(query) {
    const c = data.conditions;
    return [
      data.interrupted ? el("p", { class: "warn" }, t("本次任务被中断，部分单元未执行。", "This campaign was interrupted; some cells did not run.")) : null,
      data.accepted.map((note) => el("p", { class: "warn" }, note)),
      card(el("h2", { tabindex: -1 }, t("结论", "Verdict"), " ", tag("verdict", data.verdict)),
        el("div", { class: "grid" }, fact("产品", "product", both(data.product)), fact("厂商", "vendor", both(data.vendor)),
          fact("任务", "campaign", el("code", {}, data.id)), fact("测试时间", "executed", `${data.created} – ${data.finished} UTC`),
          fact("时长档案", "profile of durations", both(data.profile)),
          fact("计划摘要", "plan", el("code", {}, data.plan.slice(0, 16))), fact("日志链", "journal head", el("code", {}, data.journal.slice(0, 16)))),
        el("p", { class: "soft" }, t("结果仅与所测样品有关。", "The results relate only to the items tested."), " ", both(data.rule))),
      matrix(query),
      data.cells.length <= 40 ? card(el("h2", {}, t("单元", "Cells")), table(null, cellHead(), cellRows(data.cells))) : card(el("p", {}, el("a", { href: "#cells" }, t(`全部 ${data.cells.length} 个单元`, `All ${data.cells.length} cells`)))),
      data.excluded.length ? card(el("h2", {}, t("不适用的组合", "Excluded combinations")), table(null, [n(t("数量", "count")), t("理由", "because"), t("规则", "rule")],
        data.excluded.map((one) => el("tr", {}, el("td", { class: "n" }, String(one.count)), el("td", {}, one.because), el("td", {}, el("code", {}, one.rule)))))) : null,
      card(el("h2", {}, t("样品", "Items tested")), table(null, [t("软件包", "package"), t("版本", "version"), t("架构", "architecture"), "SHA-256"],
        data.packages.map((p) => el("tr", {}, p.map((one, i) => el("td", { class: i === 3 ? "mono" : null }, one || "—")))))),
      card(el("h2", {}, t("方法", "Methods")), table(null, [t("测试套", "suite"), t("版本", "version"), t("方法", "method"), n(t("测试项", "cases")), t("摘要", "digest")],
        data.suites.map((s) => el("tr", {}, el("td", {}, el("code", {}, s.suite), el("br"), both(s.title)), el("td", {}, s.version), el("td", {}, s.method || "—"), el("td", { class: "n" }, String(s.cases)), el("td", {}, el("code", {}, s.digest.slice(0, 16))))))),
      ...(data.basis.length ? [card(el("h2", {}, t("依据", "Tested with")), table(null, [t("种类", "kind"), t("名称", "name"), t("版本", "version"), t("来源", "origin"), "SHA-256"],
        data.basis.map(([zh, en, name, version, sha256, origin]) => el("tr", {}, el("td", {}, t(zh, en)), el("td", {}, el("code", {}, name)), el("td", {}, version || "—"), el("td", { class: origin.word === "replaced" ? "bad" : null }, t(origin.zh, origin.en)), el("td", {}, el("code", {}, sha256))))))] : []),
      card(el("h2", {}, t("测试条件", "Conditions")), el("div", { class: "grid" }, c.map(([zh, en, value]) => fact(zh, en, value)))),
      el("p", { class: "soft" }, t("—— 报告结束 ——　完整记录以 campaign.json 为准；签名（如有）见随附的 adaptation.dsse.json。", "End of report. campaign.json is the authoritative record; the signature, if there is one, is adaptation.dsse.json beside it.")),
    ];
  }

  function cells(query) {
    const filters = Object.entries(query).filter(([key]) => data.axes.includes(key) || ["fidelity", "verdict", "cause"].includes(key));
    const kept = data.cells.filter((cell) => filters.every(([key, value]) => (data.axes.includes(key) || key === "fidelity" ? valueOf(cell, key) : cell[key] || "") === value));
    const set = (change) => { location.hash = address("cells", { ...query, ...change }); };
    const any = ["", plain(["全部", "all"])];
    const options = (key) => [any, ...[...new Set(data.cells.map((cell) => valueOf(cell, key)))].map((value) => [value, plain(nameOf(key, value))])];
    const words = (group, key) => [any, ...[...new Set(data.cells.map((cell) => cell[key]).filter(Boolean))].map((value) => [value, plain(word(group, value))])];
    return [card(el("h2", { tabindex: -1 }, t("单元", "Cells")), el("div", { class: "controls" },
      [...data.axes, "fidelity"].map((key) => choice(...axis(key), query[key] || "", options(key), (value) => set({ [key]: value }))),
      choice("结论", "verdict", query.verdict || "", words("verdict", "verdict"), (value) => set({ verdict: value })),
      choice("原因", "cause", query.cause || "", words("cause", "cause"), (value) => set({ cause: value }))),
      el("p", { class: "soft", role: "status", id: "count" }, t(`${kept.length} / ${data.cells.length} 个单元`, `${kept.length} of ${data.cells.length} cells`)),
      table(null, cellHead(), cellRows(kept)))];
  }

  const lines = (() => { let all = null; return () => all || (all = data.cells.flatMap((cell) => cell.results.map((result) => ({ cell, result, of: data.cases[result[0]] })))); })();
  const kept = (query) => {
    const text = (query.q || "").toLowerCase();
    return lines().filter(({ cell, result, of }) => (!query.result || result[1] === query.result) && (!query.verdict || cell.verdict === query.verdict)
      && (!query.cause || result[2] === query.cause) && (!query.fidelity || (result[8] ? "static" : cell.fidelity || "—") === query.fidelity)
      && (!query.characteristic || of.characteristic.split("/")[0] === query.characteristic)
      && (!text || `${of.id} ${of.title.join(" ")} ${of.suite} ${cell.id} ${result[5]}`.toLowerCase().includes(text)));
  };
  const caseHead = () => [t("编号", "id"), t("名称", "title"), t("质量特性", "characteristic"), t("条款", "clause"), t("否决", "blocker"), t("结论", "result"), t("实际结果", "actual"), n(t("秒", "s"))];
  // What a case is for and does is opened by who wants it; what it expects stands beside what was observed.
  const LABELS = [["目的", "purpose"], ["预置条件", "preconditions"], ["步骤", "steps"], ["预期", "expected"], ["证据", "evidence"]];
  const EXPECTED = 3;
  function about(of) {
    const row = (text, i) => text ? el("div", {}, t(...LABELS[i]), ": ", both(text)) : "";
    const further = of.texts.map((text, i) => i === EXPECTED ? "" : row(text, i));
    return el("div", { class: "soft" }, row(of.texts[EXPECTED], EXPECTED),
      el("details", {}, el("summary", {}, t("说明", "about")), further,
        el("div", {}, t("失败的严重程度", "severity of a failure"), ": ", both(word("severity", of.severity)))));
  }
  function caseRow(cell, result, of, first) {
    const [, outcome, cause, skip, took, detail, measured, evidence, still, decides] = result;
    const text = detail.length > 160 || detail.includes("\n")
      ? el("details", {}, el("summary", {}, detail.split("\n")[0].slice(0, 160)), el("pre", {}, detail)) : detail;
    return el("tr", {}, first ? el("td", {}, el("a", { href: `#cell-${cell.short}` }, both(title(cell)))) : null,
      el("td", { class: "mono nowrap" }, of.id, still ? [el("br"), el("span", { class: "soft" }, both(word("fidelity", "static")))] : ""),
      el("td", {}, both(of.title), about(of)),
      el("td", {}, of.characteristic.split("/").map((part, i) => [i ? " / " : "", both(word("characteristic", part))])), el("td", {}, of.clause),
      el("td", {}, decides ? t("是", "yes") : of.blocker ? t("仅记录", "recorded only") : t("否", "no")),
      el("td", {}, tag("result", outcome), cause ? [el("br"), el("span", { class: "soft" }, both(word("cause", cause)))] : "", skip ? [el("br"), el("span", { class: "soft" }, both(word("skip", skip)))] : ""),
      el("td", {}, measured.map(([what, value, unit]) => el("div", {}, `${what} = ${Number(value.toPrecision(6))}${unit === "1" ? "" : ` ${unit}`}`)), text,
        evidence.map((index) => el("div", { class: "soft" }, file(cell.files[index]), picture(cell.files[index])))),
      el("td", { class: "n" }, took.toFixed(1)));
  }
  // Bytes of a picture that is shown in the table of cases; a larger one is a link.
  const SMALL_PICTURE = 1 << 20;
  const stored = (digest) => `../../evidence/sha256/${digest.slice(0, 2)}/${digest}`;
  const file = ([what, , digest]) => [el("a", { href: stored(digest) }, what), " ", el("span", { class: "mono" }, digest.slice(0, 12))];
  const picture = ([what, size, digest, media]) => media === "image/png" && size <= SMALL_PICTURE
    ? [el("br"), el("img", { src: stored(digest), alt: what, loading: "lazy", class: "evidence" })] : "";

  function results(query) {
    const found = kept(query);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const page = Math.min(pages, Math.max(1, Number(query.page) || 1));
    const set = (change) => { location.hash = address("results", { ...query, page: "", ...change }); };
    const any = ["", plain(["全部", "all"])];
    const some = (group, values) => [any, ...[...new Set(values)].filter(Boolean).sort().map((value) => [value, plain(word(group, value))])];
    const search = el("input", { type: "search", value: query.q || "", placeholder: plain(["编号、名称、单元、现象", "id, title, cell, detail"]) });
    search.addEventListener("change", () => set({ q: search.value }));
    const button = (zh, en, to) => { const one = el("button", { type: "button", disabled: to < 1 || to > pages }, t(zh, en)); one.addEventListener("click", () => set({ page: to })); return one; };
    return [card(el("h2", { tabindex: -1 }, t("测试结果", "Results")), el("div", { class: "controls" },
      choice("结果", "result", query.result || "", some("result", data.results), (value) => set({ result: value })),
      choice("单元结论", "cell's verdict", query.verdict || "", some("verdict", data.cells.map((cell) => cell.verdict)), (value) => set({ verdict: value })),
      choice("原因", "cause", query.cause || "", some("cause", lines().map((one) => one.result[2])), (value) => set({ cause: value })),
      choice("质量特性", "characteristic", query.characteristic || "", some("characteristic", data.cases.map((one) => one.characteristic.split("/")[0])), (value) => set({ characteristic: value })),
      choice("保真度", "fidelity", query.fidelity || "", some("fidelity", [...data.cells.map((cell) => cell.fidelity || "—"), ...(lines().some((one) => one.result[8]) ? ["static"] : [])]), (value) => set({ fidelity: value })),
      el("label", {}, el("span", {}, t("查找", "search")), search)),
      el("p", { class: "soft", role: "status", id: "count" }, t(`${found.length} / ${lines().length} 条结果`, `${found.length} of ${lines().length} results`)),
      table(null, [t("单元", "cell"), ...caseHead()], found.slice((page - 1) * PAGE, page * PAGE).map(({ cell, result, of }) => caseRow(cell, result, of, true))),
      el("div", { class: "pager" }, button("上一页", "previous", page - 1), el("span", {}, t(`第 ${page} 页，共 ${pages} 页`, `page ${page} of ${pages}`)), button("下一页", "next", page + 1)))];
  }

  function cellPage(cell) {
    const shown = cell.results.filter((one) => !(one[8] && one[1] === "pass" && !one[5]));
    const quiet = cell.results.filter((one) => one[8] && one[1] === "pass" && !one[5]).map((one) => data.cases[one[0]]);
    const colours = { pass: "#236b42", fail: "#b3261e", error: "#6b4fa0", skip: "#8a5a00", miss: "#5f6670", recorded: "#38618c" };
    const bar = data.results.filter((result) => count(cell, result)).map((result) => el("span", { style: `width:${(100 * count(cell, result)) / Math.max(1, cell.results.filter((one) => !one[8]).length)}%;background:${colours[result]}` }));
    return [
      el("p", { class: "controls" }, el("a", { href: "#overview" }, "← ", t("总览", "overview"))),
      card(el("h2", { tabindex: -1 }, both(title(cell)), " ", tag("verdict", cell.verdict)), el("p", {}, el("code", {}, cell.id)),
        cell.message ? el("p", { class: "warn" }, cell.cause ? [el("b", {}, both(word("cause", cell.cause))), ": "] : "", cell.message) : null,
        el("div", { class: "grid" }, fact("保真度", "fidelity", both(word("fidelity", cell.fidelity || "—"))), fact("架构", "architecture", cell.architecture), fact("产品版本", "version", cell.version || "—"),
          fact("环境", "environment", cell.cached ? t("缓存", "cached") : t("新建", "made")), cell.emulator ? fact("仿真器", "emulator", cell.emulator) : null),
        cell.left_out.map(([suite, because]) => el("p", { class: "warn" }, t("未执行的测试套", "suite left out"), ` ${suite}: ${because}`)),
        cell.limits.map((limit) => el("p", { class: "warn" }, both(limit))), cell.notes.map((note) => el("p", { class: "soft" }, note)),
        cell.attempts.length > 1 ? [el("h3", {}, t("执行次", "Attempts")), table(null, [n("#"), t("开始", "started"), t("结论", "verdict"), t("说明", "message")],
          cell.attempts.map((one) => el("tr", {}, el("td", { class: "n" }, String(one[0])), el("td", {}, one[1]), el("td", {}, tag("verdict", one[2])), el("td", {}, one[3]))))] : null),
      card(el("h2", {}, t("测试项", "Cases")), el("div", { class: "bar", "aria-hidden": "true" }, bar),
        el("p", { class: "soft" }, data.results.map((result, i) => [i ? "; " : "", both(word("result", result)), ` ${count(cell, result)}`]), silent(cell) === "—" ? null : ["; ", t("静态规则（只读文件）", "static rules (files are read)"), ` ${silent(cell)}`]),
        table(null, caseHead(), shown.map((one) => caseRow(cell, one, data.cases[one[0]], false))),
        quiet.length ? el("details", {}, el("summary", {}, t(`静态扫描 ${quiet.length} 条规则未发现问题`, `${quiet.length} static rules that found nothing`)), el("p", { class: "mono" }, quiet.map((one) => one.id).join(", ")), el("p", { class: "soft" }, t("只读文件，未运行任何程序。", "Files were read, nothing was run."))) : null),
      cell.loads.map((one) => card(el("h2", {}, t("负载", "Load"), " ", el("code", {}, one.suite)), el("p", { class: "soft" }, t("开放模型：延迟从预定开始时刻计。", "Open model: latency counts from the intended start."), " ",
        cell.limits.length ? t("仿真目标上仅记录，不作性能结论。", "Recorded only: an emulated target shows no performance.") : ""),
        el("h3", {}, t("延迟", "Latency")), svg(one.latency, ["延迟", "latency"]), el("h3", {}, t("应用进程资源", "Resources of the product's processes")),
        one.resources.length ? one.resources.map((picture) => svg(picture, ["应用进程资源", "resources of the product's processes"])) : t("未取得样本", "no samples"))),
      cell.availability ? card(el("h2", {}, t("故障下的可用性", "Availability under faults")),
        el("p", { class: "soft" }, t("上条为故障的时段；下条绿色为提供服务，红色为未提供服务。", "Upper bar: while the fault lasted. Lower bar: green where the product served, red where it did not.")),
        svg(cell.availability, ["各故障下提供服务的时段", "when the product served under each fault"])) : null,
      card(el("h2", {}, t("时间线", "Timeline")), svg(cell.steps, ["各步骤耗时", "seconds of each step"])),
      card(el("h2", {}, t("目标核验", "Attestation")), table(null, [t("机器", "machine"), t("项目", "fact"), t("声明", "declared"), t("观测", "observed"), t("相符", "holds")],
        cell.attestation.map(([machine, what, declared, observed, holds]) => el("tr", {}, el("td", {}, machine), el("td", {}, what), el("td", {}, declared || "—"), el("td", { class: holds ? "mono" : "mono bad" }, observed || "—"), el("td", { class: holds ? null : "bad" }, holds ? (declared ? "✓" : "") : ["✗ ", t("不符", "differs")]))))),
      card(el("h2", {}, t("步骤日志", "Logs of the steps")), Object.keys(cell.logs).length ? Object.entries(cell.logs).map(([what, text]) => el("details", {}, el("summary", {}, what), el("pre", {}, text))) : "—"),
      card(el("h2", {}, t("证据", "Evidence")), table(t("链接在工作区内有效", "Links lead into the workspace"), [t("文件", "file"), n(t("字节", "bytes")), "SHA-256"],
        cell.files.map((one) => el("tr", {}, el("td", {}, file(one)), el("td", { class: "n" }, String(one[1])), el("td", {}, el("code", {}, one[2]))))),
        cell.images.length ? el("p", { class: "soft" }, t("镜像", "images"), ": ", cell.images.map((one) => [el("code", {}, one), " "])) : null),
    ];
  }

  // --- what is where ---
  const views = { overview, cells, results };
  function draw(focus) {
    const { view, query } = place();
    const cell = view.startsWith("cell-") ? data.cells.find((one) => `cell-${one.short}` === view) : null;
    const content = cell ? cellPage(cell) : (views[view] || overview)(query);
    main.replaceChildren(...content.flat(9).filter(Boolean));
    for (const link of document.querySelectorAll("nav.tabs a")) {
      if (link.getAttribute("href") === `#${cell ? "cells" : views[view] ? view : "overview"}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (focus) { window.scrollTo(0, 0); main.querySelector("h2")?.focus({ preventScroll: true }); }
    document.documentElement.dataset.at = location.hash;
  }
  function speak(lang) {
    document.documentElement.dataset.lang = lang;
    document.documentElement.lang = lang === "en" ? "en" : "zh-CN";
    for (const button of document.querySelectorAll(".lang button")) button.setAttribute("aria-pressed", String(button.dataset.lang === lang));
    try { localStorage.setItem("harness-lang", lang); } catch { /* opened from disk, or forbidden */ }
  }
  for (const button of document.querySelectorAll(".lang button")) button.addEventListener("click", () => { speak(button.dataset.lang); draw(false); });
  let lang = place().query.lang;
  if (!lang) { try { lang = localStorage.getItem("harness-lang"); } catch { /* as above */ } }
  speak(["zh", "en", "both"].includes(lang) ? lang : "both");
  window.addEventListener("hashchange", () => draw(true));
  window.addEventListener("beforeprint", () => { // the overview is printed with its cells, unless that is a book
    if (place().view === "overview" && lines().length <= PRINTED) {
      main.append(...data.cells.map((cell) => el("section", { class: "page" }, cellPage(cell).flat(9).filter(Boolean))));
    }
  });
  window.addEventListener("afterprint", () => draw(false));
  const started = performance.now();
  draw(false);
  document.documentElement.dataset.drawn = String(Math.round(performance.now() - started));
})();
