"""Makes one small page of the sources: the build."""

import re
from pathlib import Path
from string import Template

HERE = Path(__file__).parent
BUNDLE = HERE / "build" / "index.html"


def minified_css(text: str) -> str:
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{}:;,])\s*", r"\1", " ".join(text.split()))


def minified_html(text: str) -> str:
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return "".join(line.strip() for line in text.splitlines())


def bundle(page: str, style: str) -> str:
    return Template(minified_html(page)).safe_substitute(style=minified_css(style))


if __name__ == "__main__":
    sources = [HERE / "page.html", HERE / "style.css"]
    for source in sources:
        print(f"{source.name:>12} {source.stat().st_size:>5} bytes")
    BUNDLE.parent.mkdir(exist_ok=True)
    BUNDLE.write_text(bundle(*(source.read_text() for source in sources)))
    print(f"{BUNDLE.name:>12} {BUNDLE.stat().st_size:>5} bytes")
