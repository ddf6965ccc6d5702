import unittest

from bundle import bundle, minified_css, minified_html


class BundleTest(unittest.TestCase):
    def test_a_style_gets_smaller(self) -> None:
        assert minified_css("/* a title */\nh1 {\n  color: red;\n}\n") == "h1{color:red;}"

    def test_a_page_gets_smaller(self) -> None:
        assert minified_html("<h1>Hi</h1>\n  <!-- who? -->\n  <p>you</p>\n") == "<h1>Hi</h1><p>you</p>"

    def test_what_is_filled_in_later_stays_open(self) -> None:
        assert bundle("<style>$style</style>\n$greeting", "a { }") == "<style>a{}</style>$greeting"
