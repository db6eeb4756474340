"""Your own checks; see docs/guide. A failed assertion is the product's failure, any other exception an error."""


def test_health(http):
    answer = http.send("GET", "/health")
    assert answer.text == "good\n"
