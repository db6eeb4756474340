"""The pages of the product as a browser uses them: sessions, forms with their tokens, Chinese text, files."""

from __future__ import annotations

import re

import pytest

DAY = "2026-01-31T"


class Browser:
    """A client with its own cookies."""

    def __init__(self, http):
        self.http, self.client = http, http.client
        self.client.cookies.clear()

    def get(self, path, **query):
        return self.client.get(self.http.deployment.url(path), params=query)

    def post(self, path, files=None, **fields):
        return self.client.post(self.http.deployment.url(path), data=fields, files=files)

    def token(self, path):
        """The token of the forms on a page."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get(path).text)
        assert found, f"{path} has no form with a token"
        return found[1]

    def login(self, password):
        return self.post("/login", csrf=self.token("/login"), name="admin", password=password)

    def save(self, code, title, detail=""):
        """Store an order by its form."""
        token = self.token("/orders")
        answer = self.post("/orders", csrf=token, code=code, title=title, detail=detail, state="open")
        assert answer.status_code == 302, f"the form gave status {answer.status_code}: {answer.text[:300]}"


@pytest.fixture
def password(target):
    return target.secrets["admin_password"].get_secret_value()


@pytest.fixture
def browser(http, password):
    """One that is logged in."""
    browser = Browser(http)
    browser.login(password)
    return browser


def test_login_and_logout(http, password):
    browser = Browser(http)
    assert browser.get("/orders").status_code == 302, "a page is shown without a login"
    assert browser.login("wrong").status_code == 401, "a wrong password is taken"
    before = browser.client.cookies["JSESSIONID"]
    assert browser.login(password).status_code == 302, "the right password is refused"
    assert browser.client.cookies["JSESSIONID"] != before, "the session keeps the id from before the login"
    page = browser.get("/orders")
    assert page.status_code == 200, f"no page after the login: status {page.status_code}"
    assert "工单" in page.text
    browser.post("/login", csrf=browser.token("/orders"), logout="1")
    assert browser.get("/orders").status_code == 302, "the session outlives the logout"


def test_forged_form_is_refused(browser):
    for forged in ("", "0" * 48):
        answer = browser.post("/orders", csrf=forged, code="FORGED", title="伪造", detail="", state="open")
        assert answer.status_code == 403, f"a form with the token {forged!r} gave status {answer.status_code}"
    assert "FORGED" not in browser.get("/orders", q="FORGED").text.replace('value="FORGED"', "")


def test_search_and_pages(browser, http):
    for number in range(23):
        body = {"code": f"P-{number:02}", "title": f"轴承更换 {number:02}", "detail": "100% _完成_"}
        assert http.send("POST", "/api/orders", json=body).status_code in (201, 409)
    first, second = (browser.get("/orders", q="轴承更换", page=page).text for page in (0, 1))
    found = [re.findall(r"<td>(P-\d\d)</td>", text) for text in (first, second)]
    assert [len(codes) for codes in found] == [20, 3], f"the pages have {found}"
    assert len({*found[0], *found[1]}) == 23, "an order is on both pages"
    assert "下一页" in first
    assert "下一页" not in second
    assert len(re.findall(r"<td>P-", browser.get("/orders", q="100% _").text)) == 20, (
        "signs of LIKE are not taken literally"
    )
    assert "<td>P-" not in browser.get("/orders", q="P_00").text
    for number in range(23):
        http.send("DELETE", f"/api/orders/P-{number:02}")


def test_text_is_escaped(browser):
    browser.save("ESC-1", "<script>alert('轴')</script>", '"><b>')
    text = browser.get("/orders", q="ESC-1").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;轴&#39;)&lt;/script&gt;" in text
    assert 'value="&quot;&gt;' in browser.get("/orders", q='">').text
    browser.post("/orders", csrf=browser.token("/orders"), code="ESC-1", remove="1")


def test_file_in_and_out(browser):
    for encoding, device in (("utf-8-sig", "温度计𠮷"), ("gb18030", "压力表")):
        table = f'device,time,value,unit\r\n"{device}",{DAY}08:00:00Z,-3.141593,℃\r\n{device},{DAY}08:01:00Z,2,℃\r\n'
        answer = browser.post(
            "/readings",
            csrf=browser.token("/readings"),
            files={"file": ("读数.csv", table.encode(encoding), "text/csv")},
        )
        assert answer.status_code == 302, f"the upload gave status {answer.status_code}: {answer.text[:300]}"
        out = browser.get("/readings", device=device, export="1")
        assert out.content.startswith(b"\xef\xbb\xbf"), "a spreadsheet does not know the file as UTF-8"
        lines = out.content.decode("utf-8-sig").splitlines()
        assert [line.split(",")[:2] for line in lines[1:]] == [
            [f'"{device}"', f'"{DAY}08:01:00Z"'],
            [f'"{device}"', f'"{DAY}08:00:00Z"'],
        ]
        assert re.search(r"-3\.141593\b", lines[2]), f"the number came back changed: {lines[2]}"
    wrong = browser.post(
        "/readings", csrf=browser.token("/readings"), files={"file": ("x.csv", b"a,b\n1,2\n", "text/csv")}
    )
    assert wrong.status_code == 400
    assert "line 2" in wrong.text


def test_scheduled_job(browser, http, settle, target):
    device = "汇总测试"
    rows = [
        {"device": device, "taken_at": f"2026-02-01T08:0{n}:00Z", "value": value, "unit": "MPa"}
        for n, value in enumerate((1.5, 0.25, 9))
    ]
    assert http.send("POST", "/api/readings", json=rows).status_code == 201

    def summarised():
        found = [row for row in http.send("GET", "/api/summary").json() if row["device"] == device]
        return [(row["readings"], float(row["lowest"]), float(row["highest"])) for row in found] == [(3, 0.25, 9.0)]

    settle(summarised, what="the scheduled job counts the three readings", seconds=20)
    assert device in browser.get("/readings").text
