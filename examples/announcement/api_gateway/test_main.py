import unittest

from main import route


class RouteTest(unittest.TestCase):
    def test_a_path_finds_its_service(self) -> None:
        for path, expected in {
            "/api/hello": ("BACKEND_URL", "/hello"),
            "/pablo/messages": ("PABLO_URL", "/messages"),
            "/pablo": ("PABLO_URL", "/"),
            "/apis": ("FRONTEND_URL", "/apis"),
            "/": ("FRONTEND_URL", "/"),
        }.items():
            with self.subTest(path):
                assert expected == route(path)
