"""Names at the top of the worker's script are shortened where they can be nothing but names."""

from server.short_names import START, shortened

HEAD = "const APP = {};\n"


def short(code: str) -> str:
    return shortened(f"{HEAD}{START} {{}}\n{code}").partition(" {}\n")[2]


def test_what_is_declared_and_called_is_shortened_together() -> None:
    assert short("function readDay(text){return text}\nconst a=readDay(1);\n") == (
        "function $0(text){return text}\nconst a=$0(1);\n"
    )


def test_what_may_be_more_than_a_name_stays() -> None:
    for use in (
        "x.readDay",
        "{readDay:1}",
        "{readDay}",
        "{ a, readDay }",
        '"readDay"',
        "`readDay`",
        "({readDay=1})=>1",
    ):
        code = f"function readDay(text){{return text}}\nconst a={use};\n"

        assert short(code) == code, use


def test_plain_words_stay() -> None:
    code = "function report(){}\nreport();\n"

    assert short(code) == code


def test_what_stands_between_the_signs_of_a_template_is_code() -> None:
    assert "`a ${$0(1)} b`" in short("function readDay(text){return text}\nconst a=`a ${readDay(1)} b`;\n")
