import pytest

from server.spelling import spellings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("张伟", ["zhang wei"]),
        ("单师傅", ["dan shi fu", "shan shi fu"]),
        ("解奶奶", ["jie nai nai", "xie nai nai"]),
        ("仇叔", ["chou shu", "qiu shu"]),
        ("查姐", ["cha jie", "zha jie"]),
        ("曾阿姨", ["ceng a yi", "zeng a yi"]),
        ("区伯", ["qu bo", "ou bo"]),
        ("盖大爷", ["gai da ye", "ge da ye"]),
        ("朴姐", ["pu jie", "piao jie"]),
        ("尉迟婶", ["wei chi shen", "yu chi shen"]),
        ("吕叔", ["lv shu"]),
        ("示例居民0001", ["shi li ju min 0001"]),
        ("Wang Wei", ["wang wei"]),
        ("👵🏽", []),
        ("  ", []),
    ],
)
def test_a_name_is_spelled_in_every_way_it_is_read(name: str, expected: list[str]) -> None:
    assert spellings(name) == expected
