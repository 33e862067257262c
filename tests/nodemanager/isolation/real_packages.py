"""Real packages in two versions, what a bundle does with each, and their installation. Used by the slow tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSIONS: dict[str, tuple[list[str], list[str]]] = {
    "requests": (["requests==2.20.0"], ["requests==2.32.3"]),
    "jinja2": (["jinja2==2.11.3", "markupsafe<2.1"], ["jinja2==3.1.4"]),
    "attr": (["attrs==21.4.0"], ["attrs==24.2.0"]),
    "yaml": (["PyYAML==6.0.1"], ["PyYAML==6.0.2"]),
    "paho.mqtt": (["paho-mqtt==1.6.1"], ["paho-mqtt==2.1.0"]),
    "pydantic": (["pydantic==1.10.18"], ["pydantic==2.9.2"]),
    "sqlalchemy": (["SQLAlchemy==1.4.54"], ["SQLAlchemy==2.0.36"]),
    "numpy": (["numpy==1.24.4"], ["numpy==2.1.3"]),
}

USES = {
    "requests": """
import requests, requests.adapters
def use():
    assert requests.Request("GET", "http://a/b", params={"x": 1}).prepare().url == "http://a/b?x=1"
    assert requests.Session().adapters
    return requests.__version__
""",
    "jinja2": """
import jinja2
def use():
    page = jinja2.Environment(loader=jinja2.DictLoader({"a": "hi {{ x|upper }}"})).get_template("a")
    assert page.render(x="b") == "hi B"
    return jinja2.__version__
""",
    "attr": """
from __future__ import annotations
import pickle, typing
import attr
@attr.s(auto_attribs=True)
class Node:
    value: int = 1
    next: typing.Optional[Node] = None
def use():
    assert pickle.loads(pickle.dumps(Node(2))) == Node(2) and attr.resolve_types(Node) is Node
    return attr.__version__
""",
    "yaml": """
import yaml
def use():
    assert yaml.load("a: [1, 2]", yaml.CSafeLoader) == {"a": [1, 2]} and yaml.safe_dump({"a": 1}) == "a: 1\\n"
    return yaml.__version__
""",
    "paho.mqtt": """
import paho.mqtt
from paho.mqtt import client
def use():
    assert client.Client(*[api.VERSION2 for api in [getattr(client, "CallbackAPIVersion", None)] if api], client_id="x")
    return paho.mqtt.__version__
""",
    "pydantic": """
from __future__ import annotations
import typing
import pydantic
class Node(pydantic.BaseModel):
    value: int
    children: typing.List[Node] = []
if pydantic.VERSION < "2":
    Node.update_forward_refs()
def use():
    assert Node(value="3", children=[{"value": 4}]).children[0].value == 4
    try:
        Node(value="x")
    except pydantic.ValidationError:
        return pydantic.VERSION
""",
    "sqlalchemy": """
import sqlalchemy
from sqlalchemy.orm import Session, declarative_base
Base = declarative_base()
class User(Base):
    __tablename__ = "user"
    id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
    name = sqlalchemy.Column(sqlalchemy.String)
def use():
    engine = sqlalchemy.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(name="a"))
        session.commit()
        assert session.execute(sqlalchemy.select(User)).scalars().one().name == "a"
    engine.dispose()
    return sqlalchemy.__version__
""",
    "numpy": """
import pickle
import numpy
def use():
    a = numpy.arange(6).reshape(2, 3)
    assert (a @ a.T).tolist() == [[5, 14], [14, 50]] and numpy.linalg.inv(numpy.eye(2)).tolist() == [[1, 0], [0, 1]]
    assert (pickle.loads(pickle.dumps(a)) == a).all() and numpy.fft.fft(a).shape == (2, 3)
    return numpy.__version__
""",
}


def install(target: Path, requirements: list[str]) -> None:
    """pip's `--target`, once. Raises CalledProcessError."""
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", str(target)]
        subprocess.run([*command, *requirements], check=True, timeout=300)


def make_bundle(directory: Path, lib: Path, package: str) -> Path:
    """A bundle that uses `package` from `lib`. Several bundles may name one `lib`: isolation copies what it must."""
    directory.joinpath("app").mkdir(parents=True)
    directory.joinpath("app", "__init__.py").write_text(USES[package], encoding="utf-8")
    directory.joinpath("lib").symlink_to(lib)
    return directory
