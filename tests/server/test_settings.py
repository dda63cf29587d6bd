from pathlib import Path

import pytest

from server.settings import ROOT, SettingError, Settings


def test_nothing_set_gives_sqlite_in_the_data_folder() -> None:
    settings = Settings.from_environment({})

    assert settings.database_url == f"sqlite:///{ROOT}/data/linli.db"
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.worker == "on"
    assert not settings.demo


def test_each_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "LINLI_DATA_DIR": str(tmp_path),
            "LINLI_HOST": "0.0.0.0",  # noqa: S104
            "LINLI_PORT": "8123",
            "LINLI_PUBLIC_URL": "https://linli.example.org/",
            "LINLI_WORKER": "off",
            "LINLI_LOG_LEVEL": "debug",
            "LINLI_TRUSTED_PROXY": "127.0.0.1,10.0.0.0/8",
            "LINLI_DEMO": "on",
        }
    )

    assert settings == Settings(
        data_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/linli.db",
        host="0.0.0.0",  # noqa: S104
        port=8123,
        public_url="https://linli.example.org",
        worker="off",
        log_level="debug",
        trusted_proxy="127.0.0.1,10.0.0.0/8",
        demo=True,
    )
    assert settings.local_url == "http://127.0.0.1:8123"


def test_a_misspelt_variable_is_named_with_its_neighbour() -> None:
    with pytest.raises(SettingError, match=r"^LINLI_PUBLIC_ULR is not a setting\. Did you mean LINLI_PUBLIC_URL\?$"):
        Settings.from_environment({"LINLI_PUBLIC_ULR": "https://linli.example.org"})


def test_a_variable_like_no_other_points_to_the_list() -> None:
    with pytest.raises(SettingError, match="doctor --help"):
        Settings.from_environment({"LINLI_QWERTY": "1"})


def test_variables_of_the_test_command_are_no_mistakes() -> None:
    assert Settings.from_environment({"LINLI_TEST_BROWSER": "/usr/bin/chromium"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINLI_PORT", ""),
        ("LINLI_PORT", "0"),
        ("LINLI_PORT", "65536"),
        ("LINLI_PORT", "80a"),
        ("LINLI_PORT", "８０"),
        ("LINLI_WORKER", "maybe"),
        ("LINLI_DEMO", "yes"),
        ("LINLI_HOST", "a b"),
        ("LINLI_PUBLIC_URL", "linli.example.org"),
        ("LINLI_PUBLIC_URL", "https://linli.example.org/app"),
        ("LINLI_PUBLIC_URL", "https://user@linli.example.org"),
        ("LINLI_TRUSTED_PROXY", "*"),
        ("LINLI_LOG_LEVEL", "verbose"),
    ],
)
def test_a_bad_value_is_shown_with_an_example(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name}: {value!r}.* For example: {name}=".replace("*'", r"\*'")):
        Settings.from_environment({name: value})


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "mysql://a:secret@b/c", "secret"])
def test_a_bad_database_address_is_not_repeated(address: str) -> None:
    with pytest.raises(SettingError, match="LINLI_DATABASE_URL: its value must name") as caught:
        Settings.from_environment({"LINLI_DATABASE_URL": address})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_with_psycopg(scheme: str) -> None:
    settings = Settings.from_environment({"LINLI_DATABASE_URL": f"{scheme}://linli@db/linli"})

    assert settings.database_url == "postgresql+psycopg://linli@db/linli"
    assert not settings.is_sqlite


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "database"
    secret.write_text("postgresql://linli:s3cret@db/linli\n")

    settings = Settings.from_environment({"LINLI_DATABASE_URL_FILE": str(secret)})

    assert settings.database_url == "postgresql+psycopg://linli:s3cret@db/linli"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    environment = {"LINLI_DATABASE_URL": "sqlite:////tmp/x.db", "LINLI_DATABASE_URL_FILE": "x"}
    with pytest.raises(SettingError, match="both set"):
        Settings.from_environment(environment)


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"LINLI_DATABASE_URL_FILE: .*/nowhere cannot be read"):
        Settings.from_environment({"LINLI_DATABASE_URL_FILE": str(tmp_path / "nowhere")})


def test_only_secrets_are_read_from_files() -> None:
    with pytest.raises(SettingError, match=r"LINLI_PORT_FILE is not a setting\. Did you mean LINLI_PORT"):
        Settings.from_environment({"LINLI_PORT_FILE": "x"})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://linli:s3c:r@t@db/linli", "postgresql+psycopg://linli:***@db/linli"),
        ("postgresql://db/linli?user=a&password=s3cret&x=1", "postgresql+psycopg://db/linli?user=a&password=***&x=1"),
        ("postgresql://linli@db/linli", "postgresql+psycopg://linli@db/linli"),
        ("sqlite:////var/lib/linli/linli.db", "sqlite:////var/lib/linli/linli.db"),
    ],
)
def test_masked_shows_no_password(address: str, shown: str) -> None:
    settings = Settings.from_environment({"LINLI_DATABASE_URL": address})

    assert settings.masked()["LINLI_DATABASE_URL"] == shown


def test_a_data_folder_may_have_any_name() -> None:
    assert Settings(data_dir=Path("/邻 里/50%?")).database_url == "sqlite:////邻 里/50%25%3F/linli.db"
