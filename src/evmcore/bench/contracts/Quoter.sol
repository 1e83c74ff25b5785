// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IReserves {
    function getReserves() external view returns (uint112, uint112, uint32);
}

interface IRoutes {
    function pairOf(address a, address b) external view returns (address);
}

/// What a swap along a path of tokens would give: a router's registry and the reserves of each pair are read, nothing
/// is written.
contract Quoter {
    function quotePath(address router, uint256 input, address[] calldata path) external view returns (uint256 amount) {
        require(path.length > 1, "path too short");
        amount = input;
        for (uint256 i = 0; i + 1 < path.length; i++) {
            address pair = IRoutes(router).pairOf(path[i], path[i + 1]);
            require(pair != address(0), "no such pair");
            (uint256 reserveIn, uint256 reserveOut,) = IReserves(pair).getReserves();
            if (path[i] > path[i + 1]) (reserveIn, reserveOut) = (reserveOut, reserveIn);
            uint256 net = amount * 997;
            amount = (net * reserveOut) / (reserveIn * 1000 + net);
        }
    }
}
