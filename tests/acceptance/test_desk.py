"""The desk in a real browser: one application from its form over two returns to the public page, by six people."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from harness.desk.flow import ROLES
from harness.system.wait import wait_until
from tests import commands
from tests.conftest import command
from tests.databases import Cluster
from tests.products import WEB, product
from tests.trusts import trust_file, trust_in

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
WIDE, NARROW = (1280, 900), (390, 844)
NEW = "本人的新口令 of mine 1"


class Place:
    """A center's desk and worker as processes, in a folder with keys, a register and a product."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "HARNESS_DATABASE_URL": url,
            "HARNESS_EVIDENCE": str(folder / "evidence"),
            "HARNESS_PASSPHRASE": "only for this test",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def begin(self, *words: str | Path) -> Path:
        """Begin a command; gives the file of what it prints."""
        log = self.folder / f"{words[0]}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command(*map(str, words)),
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        return log

    def serve(self, *words: str | Path) -> tuple[str, str]:
        """Begin the desk; gives its address and the one-time password."""
        log = self.begin("serve", *words)
        wait_until(lambda: "desk / 工作台: " in log.read_text(), seconds=60, what="the desk begins")
        text = log.read_text()
        address = text.split("desk / 工作台: ")[1].split()[0]

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
            return False

        wait_until(answers, seconds=30, what="the desk answers")
        found = re.search(r"一次性口令: (\S+)", text)
        return address, found[1] if found else ""

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return commands.run([*map(str, words)], cwd=self.folder, env=self.environment, timeout=120)

    def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def place(server: Cluster, tmp_path: Path) -> Iterator[Place]:
    own = Place(tmp_path, server.database())
    try:
        yield own
    finally:
        own.end()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    words = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    for word in (*words, "--window-size=1280,900", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(tmp_path / "downloads"), "download.prompt_for_download": False}
    )
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    browser.set_script_timeout(300)
    yield browser
    browser.quit()


class Walk:
    """One browser, in which people take turns: each has the cookies of a session of their own."""

    def __init__(self, driver: webdriver.Chrome, address: str, folder: Path) -> None:
        self.driver, self.address, self.folder = driver, address, folder
        self.cookies: dict[str, list[dict[str, Any]]] = {}
        self.who = ""
        self.looked: list[str] = []
        folder.mkdir()

    def become(self, who: str) -> None:
        """Put the cookies of who acted away, and take those of ``who``."""
        if self.who:
            self.cookies[self.who] = self.driver.get_cookies()
        self.driver.get(f"{self.address}/static/desk.css")
        self.driver.delete_all_cookies()
        for cookie in self.cookies.get(who, ()):
            self.driver.add_cookie(cookie)
        self.who = who

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def enter(self, **values: str) -> None:
        """Fill in fields by their ids."""
        for name, value in values.items():
            field = self.driver.find_element(By.ID, name.replace("_", "-"))
            if field.tag_name == "select":
                Select(field).select_by_value(value)
            else:
                field.clear()
                field.send_keys(value)

    def press(self, words: str) -> None:
        """Press the button with these words; a page follows."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        buttons = [
            b for b in self.driver.find_elements(By.CSS_SELECTOR, "main button, main a.button") if b.is_displayed()
        ]
        (button,) = [b for b in buttons if b.text == words]
        button.click()

        def gone(_: Any) -> bool:
            try:
                page.is_enabled()
            except StaleElementReferenceException:
                return True
            return False

        WebDriverWait(self.driver, 120).until(gone)

    def back(self, action: str, reason: str, opinion: str) -> None:
        """Pass the application back."""
        for summary in self.driver.find_elements(By.CSS_SELECTOR, "details.back > summary"):
            if summary.text == action:
                summary.click()
        place = self.driver.find_element(By.CSS_SELECTOR, "details.back[open]")
        Select(place.find_element(By.TAG_NAME, "select")).select_by_value(reason)
        place.find_element(By.TAG_NAME, "textarea").send_keys(opinion)
        self.press(action)

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "main").text)

    def log_in(self, who: str, password: str) -> None:
        """As who was just let in: the one-time password, then one's own."""
        self.become(who)
        self.open("/login")
        self.enter(account=who, password=password)
        self.press("登录")
        assert self.driver.current_url.endswith("/password")
        self.open("/applications")
        assert self.driver.current_url.endswith("/password"), "nothing else before the password was changed"
        self.enter(old=password, new=f"{NEW} {who[:2]}", again=f"{NEW} {who[:2]}")
        self.press("保存")
        assert "待我处理" in self.text()

    def look(self, name: str) -> None:
        """Pictures of the page at both widths, axe at both, and nothing wider than the window."""
        for width, height in (WIDE, NARROW):
            self.driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
            )
            whole = self.driver.execute_script("return document.documentElement.scrollHeight")
            picture = {
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": 0, "width": width, "height": whole, "scale": 1},
            }
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", picture)
            (self.folder / f"{name}-{width}.png").write_bytes(base64.b64decode(shot["data"]))
            wider = self.driver.execute_script("return document.documentElement.scrollWidth")
            assert wider <= width, f"{name} is {wider} px wide at {width}"
            self.driver.execute_script(AXE)
            result = self.driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
            faults = {fault["id"]: [node["html"][:120] for node in fault["nodes"]] for fault in result["violations"]}
            assert faults == {}, (name, width)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.looked.append(name)

    def clean(self) -> None:
        """The browser has told of no error of a page: no script or style was refused."""
        lines = [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        assert [line for line in lines if "favicon" not in line] == []


def let_in(walk: Walk, once: str) -> None:
    """The administrator logs in, and lets a vendor and five people in, who log in one after the other."""
    walk.log_in("admin", once)
    walk.open("/people")
    walk.enter(vendor="示例软件 & Co <有限公司>")
    walk.press("添加企业")
    passwords = {}
    for role in ROLES:
        if role == "administrator":
            continue
        walk.open("/people")
        of = walk.driver.find_elements(By.CSS_SELECTOR, "#organisation option")[1 if role == "applicant" else 0]
        walk.enter(account=role, name=f"{role} 某", organisation=str(of.get_attribute("value")))
        walk.driver.find_element(By.CSS_SELECTOR, f"input[value={role}]").click()
        walk.press("添加人员")
        passwords[role] = walk.driver.find_element(By.ID, "once").text
    walk.look("people")
    for role, password in passwords.items():
        walk.log_in(role, password)


def apply(walk: Walk, artifact: Path) -> str:
    """The applicant writes the form, hands in an artifact, waits for its scan, and submits; gives the path."""
    walk.become("applicant")
    walk.open("/applications/new")
    walk.look("form")
    walk.enter(product="小网站", version="1.0", kind="application", industry="government", copyright="2026SR0123456")
    walk.enter(introduction="一个小网站\n<script>alert(1)</script>", scenarios="办公", contact="张三 010-1")
    walk.enter(cpu_0="x86-64", os_0="debian-12", database_0="none")
    walk.press("保存草稿")
    path = walk.driver.current_url.removeprefix(walk.address)
    assert "请阅读并同意" in walk.text()
    walk.press("修改申请表")
    walk.driver.find_element(By.NAME, "agreed").click()
    walk.press("保存草稿")
    walk.driver.find_element(By.ID, "artifact").send_keys(str(artifact))
    walk.press("上传")
    scanned = (By.CSS_SELECTOR, "#artifact-list .s-issued")
    WebDriverWait(walk.driver, 90).until(lambda _: walk.driver.find_elements(*scanned))  # the page asks by itself
    walk.look("draft")
    walk.open(path)
    walk.press("提交申请")
    return path


def as_(walk: Walk, who: str, path: str, *buttons: str) -> None:
    walk.become(who)
    walk.open(path)
    for button in buttons:
        walk.press(button)


def test_an_application_goes_from_its_form_over_two_returns_to_the_public_page(
    place: Place, driver: webdriver.Chrome, tmp_path: Path
) -> None:
    assert place.run("keys", "new", "issuer", "--keys", tmp_path / "keys").returncode == 0
    trust = trust_file(tmp_path / "trust", trust_in(tmp_path / "keys"))
    product(tmp_path / "definitions" / "tiny web 小", WEB, database=["none"])
    artifact = tmp_path / "小网站 1.0.sh"
    artifact.write_text("#!/bin/sh\nexec busybox httpd -f\n")
    address, once = place.serve(
        *("--port", "18443", "--definitions", "definitions", "--keys", "keys", "--key", "issuer"),
        *("--register", "register", "--trust", trust),
    )
    walk = Walk(driver, address, tmp_path / "pictures")
    walk.open("/")
    walk.look("welcome")
    walk.open("/login")
    walk.look("login")
    let_in(walk, once)
    path = apply(walk, artifact)

    as_(walk, "reviewer", path)
    walk.look("plan-review")
    walk.back("退回企业修改", "platforms", "请补充数据库\n<b>x</b>")  # the first return
    as_(walk, "applicant", path)
    assert "平台信息有误" in walk.text()
    walk.look("returned")
    walk.open(path)
    walk.press("提交申请")
    as_(walk, "reviewer", path, "接受申请与方案")

    as_(walk, "tester", path)
    walk.enter(folder="tiny web 小")
    walk.press("关联测试任务")
    place.begin("worker", "--workspace", "ws-w", "--name", "w", "--slots", "1")
    WebDriverWait(driver, 240).until(lambda _: "已结束" in walk.text())  # live: the page is not loaded again
    walk.look("tested")
    as_(walk, "tester", path, "测试完成，送预审", "提交报告")
    as_(walk, "reviewer", path)
    walk.back("退回修改报告", "wording", "结论一节请补充说明。")  # the second return
    as_(walk, "tester", path, "提交报告")
    as_(walk, "reviewer", path, "初审通过")
    as_(walk, "approver", path, "复审通过")
    as_(walk, "reviewer", path, "生成证书草稿")
    as_(walk, "applicant", path)
    assert driver.find_elements(By.CSS_SELECTOR, "a[href$='/papers/certificate']"), "there is a draft to look at"
    walk.press("确认证书内容")
    as_(walk, "approver", path)
    walk.look("to-be-issued")
    walk.open(path)
    walk.press("签发证书")
    assert "已签发" in walk.text()
    walk.look("issued")

    as_(walk, "auditor", "/audit")
    assert "审计链完整" in walk.text()
    walk.look("audit")
    as_(walk, "auditor", "/applications")
    walk.look("applications")
    as_(walk, "auditor", "/")
    walk.look("home")
    number = public_pages(walk, tmp_path)
    suspend(walk, number)
    (signed,) = tmp_path.glob("*/campaigns/*/adaptation.dsse.json")
    verified = place.run("verify", signed.parent, "--trust", trust, "--register", "register")
    assert verified.returncode == 1, verified.stdout
    assert "suspended on " in verified.stdout
    walk.clean()
    assert len(walk.looked) == 21
    text = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in text, text
    assert "only for this test" not in text


def suspend(walk: Walk, number: str) -> None:
    """The reviewer proposes a suspension, the approver carries it out, and everybody sees it."""
    page = f"/issued/{number}"
    as_(walk, "reviewer", page)
    walk.driver.find_element(By.XPATH, "//summary[text()='暂停']").click()
    walk.enter(reason_suspend="收到投诉，正在核实", opinion_suspend="来函称安装后无法启动。\n<b>x</b>")
    walk.press("提出：暂停")
    assert not walk.driver.find_elements(By.ID, "answer-carried_out"), "another person decides"
    as_(walk, "approver", "/")
    assert number in walk.text(), "it waits for the approver"
    walk.open(page)
    walk.look("status-proposed")
    walk.open(page)
    walk.press("批准并公布")
    assert "已执行" in walk.text()
    walk.look("status-suspended")
    walk.open("/issued")
    walk.look("issued-list")
    walk.become("somebody")
    walk.open("/certificates")
    assert "已暂停" in walk.text()
    walk.look("certificates-suspended")
    walk.open(f"/certificates/{number}")
    assert "暂停期间不可采信" in walk.text()
    assert walk.driver.find_element(By.CSS_SELECTOR, ".verdict b").text == "无效"
    walk.look("certificate-suspended")


def public_pages(walk: Walk, folder: Path) -> str:
    """What everybody sees: the list, the certificate, the check of its file, of a changed one, and the keyboard. Gives
    the certificate's number."""
    walk.become("somebody")
    walk.open("/certificates")
    walk.look("certificates")
    (link,) = walk.driver.find_elements(By.CSS_SELECTOR, "table a[href^='/certificates/']")
    link.click()
    WebDriverWait(walk.driver, 60).until(lambda _: "核验步骤" in walk.text())
    assert "有效\n" in walk.text(), walk.text()
    assert "同架构容器" in walk.text(), "what is no real host is shown as such"
    walk.look("certificate")
    page = walk.driver.current_url
    number = page.rsplit("/", 1)[1]
    data = httpx.get(f"{walk.address}/certificates/{number}/certificate.pdf", trust_env=False).content
    assert data.startswith(b"%PDF")
    for name, content, word in (("good", data, "有效"), ("changed", data + b"\n", "无法核验")):
        file = folder / f"{name}.pdf"
        file.write_bytes(content)
        walk.open("/verify")
        walk.driver.find_element(By.ID, "file").send_keys(str(file))
        walk.press("核验")
        assert walk.driver.find_element(By.CSS_SELECTOR, ".verdict b").text == word
    for link in re.findall(r'href="(/certificates/[^"]+/[^"]+)"', httpx.get(page, trust_env=False).text):
        assert httpx.get(walk.address + link, trust_env=False).status_code == 200, link
    listed = httpx.get(f"{walk.address}/certificates.json", trust_env=False).json()
    assert [row["product"] for row in listed["certificates"]] == ["小网站"]
    walk.open("/verify")
    walk.look("verify")
    body = walk.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert walk.driver.switch_to.active_element.get_attribute("class") == "skip", "the first stop skips the navigation"
    walk.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert walk.driver.current_url.endswith("#main")
    walk.open("/language/en?back=/verify")
    assert "Verify a certificate" in walk.text()
    walk.open("/language/zh?back=/verify")
    return number


def test_the_desk_listens_nowhere_where_passwords_would_be_read(place: Place) -> None:
    for words, told in (
        (("--host", "0.0.0.0"), "without TLS"),
        (("--host", "::"), "without TLS"),
        (("--behind-proxy", "127.0.0.1"), "--url"),
        (("--tls-cert", "x.pem"), "belong together"),
        (("--tls-cert", "x.pem", "--tls-key", "y.pem"), "no file x.pem"),
        (("--key", "issuer"), "--register"),
    ):
        ran = place.run("serve", *words)
        assert ran.returncode == 2, ran.stderr
        assert told in ran.stderr
        assert "Traceback" not in ran.stderr
    del place.environment["HARNESS_DATABASE_URL"]
    ran = place.run("serve")
    assert ran.returncode == 2
    assert "PostgreSQL" in ran.stderr
